"""Pydantic's findings in the words of the lab: the field as the asker wrote it, and what it must be.

Pydantic's own list of errors carries the whole input, and some of its sentences quote from it; neither leaves here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from coreserver.config.base import ALPHABETS
from webapp.parsing.paths import as_written, dotted
from webapp.problems import FieldError, Invalid

MAX_ERRORS = 20  # a body of 64 KiB can hold thousands; the first ones are the ones a person mends
_FLOURISH = re.compile(r"^(Input|String|List) should ")


def field_errors(found: Iterable[Mapping[str, Any]], value: Any) -> list[FieldError]:
    """What `ValidationError.errors()` found in `value`, one line a field and fault."""
    errors = [_field_error(error, value) for error in found]
    return list(dict.fromkeys(errors))[:MAX_ERRORS]


def request_problem(found: Iterable[Mapping[str, Any]], body: Any) -> Invalid:
    """FastAPI's findings in a request: its body, or a parameter of its path or query."""
    errors: list[FieldError] = []
    for error in found:
        place, *location = error["loc"]
        if place == "body":
            errors += field_errors([{**error, "loc": location}], body)
        else:
            errors.append(FieldError(dotted(location), _message(error)))
    return Invalid(_detail(errors), errors=list(dict.fromkeys(errors))[:MAX_ERRORS])


def _detail(errors: list[FieldError]) -> str:
    if len(errors) == 1:
        return f"{errors[0].field}: {errors[0].message}"
    return f"{len(errors)} fields are not as they must be"


def _field_error(error: Mapping[str, Any], value: Any) -> FieldError:
    path = as_written(error["loc"], value, ends_in_name=error["type"] == "missing")
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path = (*path, error["ctx"]["discriminator"].strip("'"))
    return FieldError(dotted(path), _message(error))


def _message(error: Mapping[str, Any]) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "there is no such field"
        case "missing" | "union_tag_not_found":
            return "is required"
        case "union_tag_invalid":
            return f"must be one of {error['ctx']['expected_tags']}"
        case "string_pattern_mismatch":
            return ALPHABETS.get(error["ctx"]["pattern"], "holds characters that are not allowed here")
        case "too_short":
            return f"must have at least {error['ctx']['min_length']}"
        case "too_long":
            return f"must have at most {error['ctx']['max_length']}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be an object"
    return plainly(str(error["msg"]))


def plainly(message: str) -> str:
    """What must be, without Pydantic's name for the thing that must."""
    return _FLOURISH.sub("must ", message).removeprefix("Value error, ")
