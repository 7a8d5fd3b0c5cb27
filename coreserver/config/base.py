"""What every settings object is made of: the base class, and the types its fields share."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class FrozenSettings(BaseModel):
    """Base of every settings object: immutable, strict about types, closed to unknown fields."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


_LABEL, _NAME = r"^[\w .:\-]*$", r"^[\w .:\-]+$"
_NOTE = r"^[^\x00-\x09\x0b-\x1f\x7f]*$"
HEX_PAIRS = r"^([0-9a-fA-F]{2})+$"

# What a text must be that does not match: by its pattern, in words for the asker.
ALPHABETS = {
    _LABEL: "only letters, digits, spaces and . : - _",
    _NAME: "only letters, digits, spaces and . : - _, at least one",
    _NOTE: "no control characters but line ends",
    HEX_PAIRS: "must be pairs of hex digits",
}

# Names and labels end up in pages, file names and logs, so their alphabet is small.
Label = Annotated[str, StringConstraints(max_length=80, pattern=_LABEL)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=_NAME)]
# Control characters but line feeds are refused: a note is shown and exported, never interpreted.
Note = Annotated[str, StringConstraints(max_length=2000, pattern=_NOTE)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


def cpus_are_here(cpus: list[int] | None) -> list[int] | None:
    """The same CPU numbers, if this process may run on each. Raises ValueError for one it may not."""
    here = os.sched_getaffinity(0)
    if unknown := sorted(set(cpus or ()) - here):
        raise ValueError(f"no CPU {unknown[0]} here; there are {', '.join(map(str, sorted(here)))}")
    return cpus
