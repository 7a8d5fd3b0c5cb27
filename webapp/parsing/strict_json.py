"""JSON as RFC 8259 has it and a database can keep it, or a problem that names the place.

Python's reader takes `NaN`, turns `1e400` into infinity, keeps the last of two equal keys and lets half a surrogate
pair through; each of them breaks something later on, far from the request that brought it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from webapp.parsing.paths import dotted
from webapp.problems import FieldError, Invalid

MAX_DEPTH = 32
MAX_DIGITS = 30  # more than any field takes; Python alone would refuse 4,300


class _Bad:
    """Stands where the reader met something that has no place in a request, until its path is known."""

    def __init__(self, message: str) -> None:
        self.message = message


def parse(body: bytes) -> Any:
    """The value that `body` holds.

    Raises:
        Invalid: it is not strict JSON. Each offending place is named by its path; what stood there is not repeated.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Invalid("the body is not UTF-8") from None
    try:
        value = json.loads(
            text, parse_constant=_constant, parse_float=_float, parse_int=_int, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        raise Invalid(f"the body is not JSON: see line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise Invalid(f"the body is nested more than {MAX_DEPTH} levels deep") from None
    errors = [FieldError(dotted(path), message) for path, message in _faults(value)]
    if errors:
        raise Invalid("the body holds values that JSON or the lab cannot keep", errors=errors[:20])
    return value


def _constant(_name: str) -> _Bad:
    return _Bad("must be a finite number")


def _float(digits: str) -> float | _Bad:
    value = float(digits)
    return value if math.isfinite(value) else _Bad("must be a finite number")


def _int(digits: str) -> int | _Bad:
    return int(digits) if len(digits) <= MAX_DIGITS else _Bad("has too many digits")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[key] = _Bad("is given twice") if key in found else value
    return found


def _faults(root: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every place that cannot stay, with its path; a stack of our own, so that depth costs no recursion."""
    stack: list[tuple[tuple[str | int, ...], Any]] = [((), root)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, _Bad):
            yield path, value.message
        elif isinstance(value, str):
            if message := _text_fault(value):
                yield path, message
        elif isinstance(value, dict | list):
            if len(path) >= MAX_DEPTH:
                yield path, f"is nested more than {MAX_DEPTH} levels deep"
                continue
            children = list(value.items() if isinstance(value, dict) else enumerate(value))
            for key, child in reversed(children):
                if isinstance(key, str) and (message := _text_fault(key)):
                    yield (*path, key), f"the name {message}"
                stack.append(((*path, key), child))


def _text_fault(text: str) -> str | None:
    if "\0" in text:
        return "must not contain the character U+0000"
    try:
        text.encode()  # fails at nothing else, and a file of many megabytes has texts as long
    except UnicodeEncodeError:
        return "must not contain half of a surrogate pair"
    return None
