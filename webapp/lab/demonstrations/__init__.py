"""Demonstrations that the dashboard starts with one click. Each file is the body of a run, as the REST API accepts it.

Its label is the text of the button, its note says what to look at.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from webapp.parsing import parse_json
from webapp.schemas.run_spec import RunSpec


@cache
def demonstrations() -> dict[str, RunSpec]:
    """Return the demonstrations by name, in the order of their numbers."""
    files = sorted(Path(__file__).parent.glob("*.json"))
    return {file.stem: RunSpec.model_validate(parse_json(file.read_bytes())) for file in files}
