"""The published schema is current and complete, and the reports of `build_report` conform to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jsonschema
import pytest

from coreserver.config.load import ClientGroup
from coreserver.records.joined import JoinedConnection
from coreserver.records.run_result import RunResult
from coreserver.reports.schema.definitions import SCHEMA_VERSION
from coreserver.reports.schema.report import SCHEMA_ID, Report, json_schema
from docs import report_schema
from tests.support.made_records import pool_of_two, report_of, result, sample, staircase

SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())


def test_file_in_docs_is_current() -> None:
    assert report_schema.FILE.read_text() == report_schema.text(), "run: python -m docs.report_schema"


def test_schema_is_valid_and_named() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["$id"] == SCHEMA_ID


@pytest.mark.parametrize(
    "made",
    [
        result(staircase(), samples=[sample(0), sample(100, cpu_s=0.01)], ended=6700),
        result(pool_of_two(), ended=4500),
        result([], complete=False, outcome="cancelled"),
        result([], outcome="failed", failure="could_not_connect", failure_detail="ECONNREFUSED"),
        result(staircase(), listen_overflows=None, records_lost=3, foreign=2),
    ],
    ids=["staircase", "pool", "cancelled", "failed", "doubtful"],
)
def test_reports_fit_the_schema(made: RunResult) -> None:
    report = json.loads(report_of(made).model_dump_json())
    VALIDATOR.validate(report)
    Report.model_validate(report)


def test_report_without_server_records_fits() -> None:
    bare = [JoinedConnection(connection.client, None) for connection in staircase()]
    config = {"address": "127.0.0.1:9", "placement": "not ours"}
    report = report_of(result(bare), model="external", config=config, scope="not ours")
    VALIDATOR.validate(json.loads(report.model_dump_json()))


def parts_of(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "report", schema
    yield from schema["$defs"].items()


def test_parts_are_closed_and_described() -> None:
    for name, part in parts_of(SCHEMA):
        assert part["additionalProperties"] is False, name
        assert part["description"], name
        for field, shape in part["properties"].items():
            assert "description" in shape or "$ref" in shape, f"{name}.{field}"


def settings_of(union: Any) -> Sequence[Any]:
    return union.__args__[0].__args__  # type: ignore[no-any-return]


def test_every_kind_of_group_is_tested() -> None:
    """The kinds that tests/webapp/routes/test_files.py sends; a new one belongs there too."""
    kinds = {group.model_fields["kind"].annotation.__args__[0] for group in settings_of(ClientGroup)}
    assert kinds == {
        *("script", "closed", "open", "idle", "slow_writer", "slow_reader", "reset", "half_close", "flood"),
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("extra",), 1),
        (("schema_version",), SCHEMA_VERSION + 1),
        (("run", "extra"), 1),
        (("run", "state"), "running"),
        (("run", "created_at"), "yesterday"),
        (("totals", "connections", "due"), -1),
        (("totals", "connections", "due"), "3"),
        (("latency", "response_ms", "p50"), "fast"),
        (("series", "columns"), ["t_s"]),
        (("series", "rows"), [[0.0]]),
        (("histograms", "highest"), 2**40),
        (("histograms", "response"), "<script>"),
        (("verdict", "status"), "excellent"),
        (("environment", "limits", "memory"), None),
    ],
)
def test_other_documents_are_refused(path: tuple[str, ...], value: Any) -> None:
    report = report_of(result(staircase())).model_dump(mode="json")
    place: Any = report
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(ValueError, match=path[-1]):
        Report.model_validate(report)
    if path[-1] != "created_at":  # a format is a hint in JSON Schema
        assert not VALIDATOR.is_valid(report)
