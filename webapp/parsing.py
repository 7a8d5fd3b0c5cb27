"""Parse untrusted JSON strictly, and convert Pydantic's validation errors to problems that name the field.

The standard JSON reader accepts `NaN`, turns `1e400` into infinity, keeps the last of two equal keys and accepts half
a surrogate pair. Each of these would fail later, far from the request. Error messages never repeat the input; field
names that are not plain words are shown as `?`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from coreserver.config.base import ALPHABETS
from webapp.problems import FieldError, Invalid

MAX_DEPTH = 32
MAX_DIGITS = 30  # more than any field needs; Python's own limit is 4,300
MAX_ERRORS = 20  # a body of 64 KiB can contain thousands
WHOLE_BODY = "body"

_Path = Sequence[str | int]
_PLAIN_NAME = re.compile(r"[\w-]{1,64}\Z")
_SUBJECT = re.compile(r"^(Input|String|List) should ")

# --- strict JSON (RFC 8259) ------------------------------------------------------------------------------------------


def parse_json(body: bytes) -> Any:
    """Return the value of a strict JSON document.

    Raises:
        Invalid: the body is not strict JSON, or contains a value that the database cannot store.
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
    errors = [FieldError(dotted_path(path), message) for path, message in _faults(value)]
    if errors:
        raise Invalid("the body contains values that are not allowed", errors=errors[:MAX_ERRORS])
    return value


class _Bad:
    """Placeholder for a value that is not allowed, until its path is known."""

    def __init__(self, message: str) -> None:
        self.message = message


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
    """Yield the path and the message of every value that is not allowed. Uses a stack instead of recursion."""
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
        text.encode()  # fails on surrogates only; faster than a regular expression on texts of several megabytes
    except UnicodeEncodeError:
        return "must not contain half of a surrogate pair"
    return None


# --- validation errors -----------------------------------------------------------------------------------------------


def field_errors(found: Iterable[Mapping[str, Any]], value: Any) -> list[FieldError]:
    """Convert `ValidationError.errors()` of the input `value`, without duplicates, at most MAX_ERRORS."""
    errors = [_field_error(error, value) for error in found]
    return list(dict.fromkeys(errors))[:MAX_ERRORS]


def request_problem(found: Iterable[Mapping[str, Any]], body: Any) -> Invalid:
    """Convert FastAPI's errors in the body, the path or the query of a request."""
    errors: list[FieldError] = []
    for error in found:
        place, *location = error["loc"]
        if place == "body":
            errors += field_errors([{**error, "loc": location}], body)
        else:
            errors.append(FieldError(dotted_path(location), _message(error)))
    return Invalid(_detail(errors), errors=list(dict.fromkeys(errors))[:MAX_ERRORS])


def plain_message(message: str) -> str:
    """Return Pydantic's message without its name for the value: "must be …" instead of "Input should be …"."""
    return _SUBJECT.sub("must ", message).removeprefix("Value error, ")


def dotted_path(path: _Path) -> str:
    """Return `("clients", 0, "count")` as `clients.0.count`, with `?` for names that are not plain words."""
    return ".".join(_shown(step) for step in path) or WHOLE_BODY


def _detail(errors: list[FieldError]) -> str:
    if len(errors) == 1:
        return f"{errors[0].field}: {errors[0].message}"
    return f"{len(errors)} fields are not valid"


def _field_error(error: Mapping[str, Any], value: Any) -> FieldError:
    path = _submitted_path(error["loc"], value, ends_in_name=error["type"] == "missing")
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path = (*path, error["ctx"]["discriminator"].strip("'"))
    return FieldError(dotted_path(path), _message(error))


def _message(error: Mapping[str, Any]) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "there is no such field"
        case "missing" | "union_tag_not_found":
            return "is required"
        case "union_tag_invalid":
            return f"must be one of {error['ctx']['expected_tags']}"
        case "string_pattern_mismatch":
            return ALPHABETS.get(error["ctx"]["pattern"], "contains characters that are not allowed")
        case "too_short":
            return f"must have at least {_items(error['ctx']['min_length'])}"
        case "too_long":
            return f"must have at most {_items(error['ctx']['max_length'])}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be an object"
    return plain_message(str(error["msg"]))


def _items(number: int) -> str:
    return "1 item" if number == 1 else f"{number} items"


def _submitted_path(location: _Path, value: Any, *, ends_in_name: bool) -> tuple[str | int, ...]:
    """Return the steps of a validation error's `location` that exist in the submitted `value`.

    Pydantic inserts the tags of unions, which were not submitted as steps. A tag can have the same name as a field, as
    in a group of kind `script`; then the first of the two steps is the tag.

    Args:
        ends_in_name: the last step is the name of a field that is missing from `value`.
    """
    path: list[str | int] = []
    last, is_tagged = len(location) - 1, False
    for place, step in enumerate(location):
        if not is_tagged and place < last and _is_tag(step, value):
            is_tagged = True
        elif _has(value, step):
            path.append(step)
            value, is_tagged = value[step], False
        elif ends_in_name and place == last:
            path.append(step)
    return tuple(path)


def _is_tag(step: str | int, value: Any) -> bool:
    return isinstance(value, dict) and step in (value.get("kind"), value.get("model"))


def _has(value: Any, step: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and step < len(value)
    return isinstance(value, dict) and step in value


def _shown(step: str | int) -> str:
    return str(step) if isinstance(step, int) or _PLAIN_NAME.match(step) else "?"
