"""The base class of settings, and the types that their fields share."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class FrozenSettings(BaseModel):
    """Base of all settings: immutable, strict about types, without unknown fields."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


_LABEL, _NAME = r"^[\w .:\-]*$", r"^[\w .:\-]+$"
_NOTE = r"^[^\x00-\x09\x0b-\x1f\x7f]*$"
HEX_PAIRS = r"^([0-9a-fA-F]{2})+$"

# Descriptions of the patterns, for error messages.
ALPHABETS = {
    _LABEL: "only letters, digits, spaces and . : - _",
    _NAME: "only letters, digits, spaces and . : - _, at least one",
    _NOTE: "no control characters except line ends",
    HEX_PAIRS: "must be pairs of hex digits",
}

# Names and labels are used in pages, file names and logs, so their alphabet is small.
Label = Annotated[str, StringConstraints(max_length=80, pattern=_LABEL)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=_NAME)]
# Control characters except line feeds are refused, because a note is shown and exported unchanged.
Note = Annotated[str, StringConstraints(max_length=2000, pattern=_NOTE)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


def check_cpus(cpus: list[int] | None) -> list[int] | None:
    """Return `cpus` if this process may run on each of them.

    Raises:
        ValueError: it may not run on one of them.
    """
    available = os.sched_getaffinity(0)
    if unknown := sorted(set(cpus or ()) - available):
        raise ValueError(f"CPU {unknown[0]} is not available; available are {', '.join(map(str, sorted(available)))}")
    return cpus
