"""Experiments that the dashboard starts in one click: each file here is the body of a run, as the REST API takes it.

Its label is what the button says, its note what there is to see.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from webapp.parsing import parse_json
from webapp.schemas.run_spec import RunSpec


@cache
def demonstrations() -> dict[str, RunSpec]:
    """Every demonstration by its name, in the order in which they are taught."""
    files = sorted(Path(__file__).parent.glob("*.json"))
    return {file.stem: RunSpec.model_validate(parse_json(file.read_bytes())) for file in files}
