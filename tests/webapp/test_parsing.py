"""Strict JSON and validation errors: invalid input is refused with the path of the field and never repeated."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from coreserver.config.server import ServerOptions
from coreserver.models import ServerConfig
from webapp.parsing import field_errors, parse_json
from webapp.problems import FieldError, Invalid
from webapp.schemas.run_spec import RunSpec

SERVER: TypeAdapter[ServerOptions] = TypeAdapter(ServerConfig)
RUN: TypeAdapter[RunSpec] = TypeAdapter(RunSpec)


def test_all_kinds_of_values_are_parsed() -> None:
    body = b'{"a": [1, -2.5e3, true, null, "\xc3\xa9 \\ud83d\\ude00"], "b": {}}'
    assert parse_json(body) == {"a": [1, -2500.0, True, None, "é 😀"], "b": {}}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"seed": NaN}', "seed"),
        (b'{"seed": Infinity}', "seed"),
        (b'{"clients": [{"start_s": -Infinity}]}', "clients.0.start_s"),
        (b'{"clients": [1, 1e400]}', "clients.1"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "seed"),
        (b'{"label": "\\ud800"}', "label"),
        (b'{"label": "a\\u0000b"}', "label"),
        (b'{"label": "a", "label": "b"}', "label"),
        (b'{"label": {"x": 1, "x": 2}}', "label.x"),
        (b'{"\\udfff": 1}', "?"),
        (b'{"<script>": NaN}', "?"),
        (b"NaN", "body"),
    ],
)
def test_json_error_names_the_field(body: bytes, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_json(body)
    assert [error.field for error in caught.value.errors] == [field]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{'a': 1}", b"[1,]", b'{"a": \xff}', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 40 + b"1" + b"}" * 40],
)
def test_malformed_document_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        parse_json(body)


def test_number_of_errors_is_limited() -> None:
    with pytest.raises(Invalid) as caught:
        parse_json(b"[" + b"NaN," * 5000 + b"1]")
    assert len(caught.value.errors) == 20


CLIENT: dict[str, Any] = {"kind": "script"}
RUN_OK: dict[str, Any] = {"server": {"id": 1}, "clients": [CLIENT]}


@pytest.mark.parametrize(
    ("kind", "body", "errors"),
    [
        (SERVER, {}, [("model", "is required")]),
        (SERVER, [], [("body", "must be an object")]),
        (SERVER, {"model": "sequential", "port": "7000"}, [("port", "must be a valid integer")]),
        (SERVER, {"model": "sequential", "port": True}, [("port", "must be a valid integer")]),
        (SERVER, {"model": "sequential", "backlog": 7.0}, [("backlog", "must be a valid integer")]),
        (SERVER, {"model": "sequential", "workers": 2}, [("workers", "there is no such field")]),
        (SERVER, {"model": "sequential", "<b>": 2}, [("?", "there is no such field")]),
        (SERVER, {"model": "bounded_pool", "workers": 0}, [("workers", "must be greater than or equal to 1")]),
        (
            SERVER,
            {"model": "sequential", "host": "0.0.0.0"},  # noqa: S104 - must be refused
            [("host", "must be a loopback address such as 127.0.0.1 or ::1")],
        ),
        (
            SERVER,
            {"model": "sequential", "host": "::1%lo"},
            [("host", "must be a loopback address such as 127.0.0.1 or ::1")],
        ),
        (SERVER, {"model": "sequential", "host": "1" * 46}, [("host", "must have at most 45 characters")]),
        (SERVER, {"model": "sequential", "work": {"mean_ms": 1}}, [("work.kind", "is required")]),
        (RUN, {"server": {"id": 1}, "clients": []}, [("clients", "must have at least 1 item")]),
        (RUN, {"clients": [CLIENT]}, [("server", "is required")]),
        (RUN, {"server": {}, "clients": [CLIENT]}, [("server.model", "is required")]),
        (RUN, {"server": {"id": 0}, "clients": [CLIENT]}, [("server.id", "must be greater than or equal to 1")]),
        (
            RUN,
            {"server": {"model": "sequential", "workers": 2}, "clients": [CLIENT]},
            [("server.workers", "there is no such field")],
        ),
        (
            RUN,
            {"server": {"id": 1}, "clients": [CLIENT | {"script": [{"wait_s": 0}, {"send": 5}]}]},
            [("clients.0.script.1.send", "must be a valid string")],
        ),
        (
            RUN,
            {"server": {"id": 1}, "clients": [CLIENT | {"script": "other"}]},
            [("clients.0.script", "must be 'article'")],
        ),
        (
            RUN,
            {"server": {"id": 1}, "clients": [CLIENT], "label": "<img>"},
            [("label", "only letters, digits, spaces and . : - _")],
        ),
        (RUN, RUN_OK | {"label": "a" * 81}, [("label", "must have at most 80 characters")]),
        (RUN, RUN_OK | {"note": "a\rb"}, [("note", "no control characters except line ends")]),
        (
            RUN,
            {"server": {"id": 1}, "clients": [CLIENT | {"script": [{"send_hex": "5e6"}]}]},
            [("clients.0.script.0.send_hex", "must be pairs of hex digits")],
        ),
        # `script` is the kind of a group and also one of its fields
        (
            RUN,
            {"server": {"id": 1}, "clients": [CLIENT | {"script": "article", "count": 0, "timeout_s": 0, "name": "/"}]},
            [
                ("clients.0.timeout_s", "must be greater than 0"),
                ("clients.0.count", "must be greater than or equal to 1"),
                ("clients.0.name", "only letters, digits, spaces and . : - _, at least one"),
            ],
        ),
    ],
)
def test_validation_error_names_the_field(kind: TypeAdapter[Any], body: Any, errors: list[tuple[str, str]]) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.validate_python(body)
    assert field_errors(caught.value.errors(), body) == [FieldError(*error) for error in errors]


def test_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(ValidationError) as caught:
        SERVER.validate_python({"model": "<script>"})
    (error,) = field_errors(caught.value.errors(), {"model": "<script>"})
    assert error.field == "model"
    assert "sequential" in error.message
    assert "<script>" not in error.message
