"""The name of a place in a request, as the asker wrote it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_PLAIN = re.compile(r"[\w-]{1,64}\Z")
WHOLE_BODY = "body"


def dotted(path: Sequence[str | int]) -> str:
    """`("clients", 0, "count")` as `clients.0.count`. A name that is no plain word is not repeated but shown as `?`."""
    return ".".join(_shown(step) for step in path) or WHOLE_BODY


def as_written(location: Sequence[str | int], value: Any, *, ends_in_name: bool) -> tuple[str | int, ...]:
    """The steps of a validation error's `location` that exist in the `value` the asker sent.

    Pydantic puts the tags of unions between them, which the asker never wrote: a tag may be spelled as a field beside
    it is, as in a group of kind `script`, but a field stands behind it. `ends_in_name` says that the last step is a
    field's name even though `value` lacks it: a missing field.
    """
    path: list[str | int] = []
    last, is_tagged = len(location) - 1, False
    for place, step in enumerate(location):
        if not is_tagged and place < last and _is_tag(step, value):
            is_tagged = True
        elif _leads_on(step, value):
            path.append(step)
            value, is_tagged = value[step], False
        elif ends_in_name and place == last:
            path.append(step)
    return tuple(path)


def _is_tag(step: str | int, value: Any) -> bool:
    return isinstance(value, dict) and step in (value.get("kind"), value.get("model"))


def _leads_on(step: str | int, value: Any) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and step < len(value)
    return isinstance(value, dict) and step in value


def _shown(step: str | int) -> str:
    return str(step) if isinstance(step, int) or _PLAIN.match(step) else "?"
