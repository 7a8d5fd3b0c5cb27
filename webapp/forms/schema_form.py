"""Convert form fields to a settings document and back, according to the JSON Schema of the settings class.

A new server model, option or kind of work needs no change here: names, types, defaults, limits and help come from the
settings class. Names of nested settings are joined by dots. The settings of a member of a union are named after its tag
(`work.sleep.mean_ms`), so two members can have options with the same name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from coreserver.config.base import ALPHABETS
from webapp.parsing import plain_message

Submitted = Mapping[str, str]
Problems = Mapping[str, str]
Schema = dict[str, Any]
S = TypeVar("S", bound=BaseModel)

MAX_FIELDS = 300  # the largest form has about 50, and 12 per client group
LONG_TEXT = 500  # characters; a setting that can have this many or more gets a text area
UNITS = {"_per_s": "per second", "_ms": "ms", "_us": "µs", "_bytes": "bytes", "_s": "s"}
NAMES = {
    "read_bytes": "read at most",
    "nodelay": "no delay (TCP_NODELAY)",
    "count": "how many clients",
    "cpus": "CPUs",
    "client_cpus": "client CPUs",
    "model": "design",
}
REASONS = {  # Pydantic error type -> message for the form
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "union_tag_invalid": "must be one of {expected_tags}",
}
_FIELD_NAME = re.compile(r"\b[a-z]+(?:_[a-z]+)*_(?:per_s|ms|us|s|bytes)\b")
_INTEGER = re.compile(r"[+-]?\d{1,20}")
_NUMBER = re.compile(r"[+-]?(\d{1,20}\.?\d{0,20}|\.\d{1,20})([eE][+-]?\d{1,4})?")


@dataclass(frozen=True)
class FormField:
    """A form control with its value and the problem of that value."""

    name: str
    label: str
    unit: str
    kind: Literal["number", "text", "lines", "choice", "tick"]
    value: str
    help: str = ""
    problem: str = ""
    choices: tuple[str, ...] = ()
    minimum: str = ""
    maximum: str = ""
    step: str = "any"
    max_length: int | None = None
    variants: tuple[Variant, ...] = ()

    @property
    def has_problem(self) -> bool:
        """Whether this field or a field of a variant has a problem, so that it must not be collapsed."""
        return bool(self.problem) or any(inner.has_problem for variant in self.variants for inner in variant.fields)


@dataclass(frozen=True)
class Variant:
    """The fields that apply if the value of the choice is `tag`."""

    tag: str
    fields: tuple[FormField, ...]


def read_form(body: bytes) -> dict[str, str]:
    """Return the fields of a URL-encoded body. If a name occurs twice, the last value counts: a tick box follows a
    hidden field with its "off" value.

    Raises:
        ValueError: more than MAX_FIELDS fields.
    """
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    return dict(pairs)


def fields_of(
    settings: type[BaseModel],
    submitted: Submitted,
    problems: Problems,
    *,
    prefix: str = "",
    only: Iterable[str] | None = None,
) -> tuple[FormField, ...]:
    """Return the controls of a settings class with the typed values, or else the defaults.

    Args:
        submitted: typed values; a missing name shows the default.
        problems: messages by field name without prefix; nested fields by their dotted names.
        only: names to show, in this order; None: all. A field with only one possible value has no control.
    """
    root = _schema(settings)
    wanted = list(root["properties"]) if only is None else list(only)
    fields = [_field(root, root["properties"][name], name, prefix, submitted, problems) for name in wanted]
    return tuple(field for field in fields if field is not None)


def document_of(settings: type[BaseModel], submitted: Submitted, *, prefix: str = "") -> dict[str, Any]:
    """Return the typed values as a JSON document for `settings`; fields that were not submitted are left out.

    Text that is not the expected number stays text, so that the validation of the settings names the field.
    """
    root = _schema(settings)
    return _document(root, root["properties"], prefix, submitted)


def check(settings: type[S], document: Mapping[str, Any]) -> tuple[S | None, dict[str, str]]:
    """Return the validated settings; or None and the messages by dotted field name."""
    try:
        return settings.model_validate(document), {}
    except ValidationError as error:
        return None, problems_of(error)


def problems_of(error: ValidationError) -> dict[str, str]:
    """Return the first message for each field of a failed validation. Messages do not repeat the typed text."""
    found: dict[str, str] = {}
    for item in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in item["loc"])
        found.setdefault(name, _reason(item["type"], item["msg"], item.get("ctx", {})))
    return found


def _reason(kind: str, message: str, context: Mapping[str, Any]) -> str:
    if kind in REASONS:
        return REASONS[kind].format(**{name: format_value(value) for name, value in context.items()})
    return ALPHABETS.get(context.get("pattern", ""), plain_message(message))


def submitted_from(document: Mapping[str, Any], *, prefix: str = "") -> dict[str, str]:
    """Return the fields that fill a form with this document: the inverse of `document_of`."""
    fields: dict[str, str] = {}
    for name, value in document.items():
        if isinstance(value, Mapping):
            tag = value.get("kind")
            fields[f"{prefix}{name}.kind"] = str(tag)
            inner = {key: item for key, item in value.items() if key != "kind"}
            fields |= submitted_from(inner, prefix=f"{prefix}{name}.{tag}.")
        else:
            fields[prefix + name] = format_value(value)
    return fields


@cache  # generating one takes a millisecond; there is one per settings class
def _schema(settings: type[BaseModel]) -> Schema:
    return settings.model_json_schema()


# --- schema to controls ----------------------------------------------------------------------------------------------


def _field(
    root: Schema, schema: Schema, path: str, prefix: str, submitted: Submitted, problems: Problems
) -> FormField | None:
    plain, _ = _resolve(root, schema)
    if "const" in plain:
        return None
    if "oneOf" in plain:
        return _union_field(root, schema, plain, path, prefix, submitted, problems)
    label, unit = label_and_unit(path.rsplit(".", 1)[-1])
    return FormField(
        name=prefix + path,
        label=label,
        unit=unit,
        kind=_kind(plain),
        value=submitted.get(prefix + path, format_value(schema.get("default"))),
        help=_help(schema),
        problem=_problem(plain, path, problems),
        choices=tuple(plain.get("enum", ())),
        minimum=_limit(plain, "minimum", "exclusiveMinimum"),
        maximum=_limit(plain, "maximum", "exclusiveMaximum"),
        step="1" if plain.get("type") == "integer" else "any",
        max_length=plain.get("maxLength"),
    )


def _union_field(
    root: Schema, schema: Schema, plain: Schema, path: str, prefix: str, submitted: Submitted, problems: Problems
) -> FormField:
    members = _members(root, plain)
    name = f"{prefix}{path}.kind"
    variants = []
    for tag, member in members.items():
        inner = [
            _field(root, part, f"{path}.{tag}.{key}", prefix, submitted, problems)
            for key, part in member["properties"].items()
        ]
        variants.append(Variant(tag, tuple(field for field in inner if field is not None)))
    default = schema.get("default", {}).get("kind", next(iter(members)))
    label, unit = label_and_unit(path)
    return FormField(
        name=name,
        label=label,
        unit=unit,
        kind="choice",
        value=submitted.get(name, default),
        help=_help(schema),
        problem=problems.get(path, "") or problems.get(f"{path}.kind", ""),
        choices=tuple(members),
        variants=tuple(variant for variant in variants if variant.fields),
    )


def _help(schema: Schema) -> str:
    """Return the description of a field, with other fields named by their labels."""
    return _FIELD_NAME.sub(lambda name: f"“{label_and_unit(name[0])[0]}”", schema.get("description", ""))


def label_and_unit(name: str) -> tuple[str, str]:
    """Return the label of a field, and the unit that its suffix stands for."""
    for suffix, unit in UNITS.items():
        if name.endswith(suffix):
            return NAMES.get(name, name.removesuffix(suffix).replace("_", " ")), unit
    return NAMES.get(name, name.replace("_", " ")), ""


def _problem(plain: Schema, path: str, problems: Problems) -> str:
    """Return the problem of a field, or of an item if a list is typed in one field."""
    items = (reason for name, reason in problems.items() if name.startswith(f"{path}."))
    return problems.get(path, "") or (next(items, "") if plain.get("type") == "array" else "")


def _kind(plain: Schema) -> Literal["number", "text", "lines", "choice", "tick"]:
    if "enum" in plain:
        return "choice"
    if plain.get("type") in ("integer", "number"):
        return "number"
    if plain.get("type") == "boolean":
        return "tick"
    return "lines" if plain.get("maxLength", 0) >= LONG_TEXT else "text"


def _limit(plain: Schema, inclusive: str, exclusive: str) -> str:
    """Return a limit for validation in the browser. HTML has no exclusive limits, so only integers get these."""
    if inclusive in plain:
        return format_value(plain[inclusive])
    if exclusive in plain and plain.get("type") == "integer":
        return format_value(plain[exclusive] + (1 if exclusive == "exclusiveMinimum" else -1))
    return ""


def format_value(value: Any) -> str:
    """Format a setting as it is typed in a form."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(format_value(item) for item in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


# --- fields to a document --------------------------------------------------------------------------------------------


def _document(root: Schema, properties: Schema, prefix: str, submitted: Submitted) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, schema in properties.items():
        plain, nullable = _resolve(root, schema)
        if "oneOf" in plain:
            tag = submitted.get(f"{prefix}{name}.kind")
            if tag is not None:
                member = _members(root, plain).get(tag, {"properties": {}})
                inner = _document(root, member["properties"], f"{prefix}{name}.{tag}.", submitted)
                document[name] = {"kind": tag, **inner}
        elif prefix + name in submitted:
            document[name] = _value(plain, nullable, submitted[prefix + name])
    return document


def _value(plain: Schema, nullable: bool, typed: str) -> Any:
    text = typed.strip().replace("\r\n", "\n")  # browsers send CR LF
    if nullable and not text:
        return None
    kind = plain.get("type")
    if kind == "array":
        return [_value(plain["items"], False, item) for item in re.split(r"[,\s]+", text)]
    if kind == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "number" and _NUMBER.fullmatch(text):
        return float(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text


def _resolve(root: Schema, schema: Schema) -> tuple[Schema, bool]:
    """Resolve `$ref` and "or null"; return the schema and whether null is allowed."""
    if "$ref" in schema:
        return _resolve(root, root["$defs"][schema["$ref"].rsplit("/", 1)[-1]])
    members = [member for member in schema.get("anyOf", ()) if member != {"type": "null"}]
    if len(members) == 1:
        return _resolve(root, members[0])[0], True
    return schema, False


def _members(root: Schema, union: Schema) -> dict[str, Schema]:
    """Return the members of a discriminated union by tag."""
    return {tag: _resolve(root, {"$ref": ref})[0] for tag, ref in union["discriminator"]["mapping"].items()}
