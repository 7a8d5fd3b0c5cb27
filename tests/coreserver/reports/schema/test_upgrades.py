"""Reports of earlier versions become reports of the current one, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreserver.errors import ReportTooNew
from coreserver.reports.hdr_histograms import total_count
from coreserver.reports.schema import upgrades
from coreserver.reports.schema.definitions import SCHEMA_VERSION
from coreserver.reports.schema.report import ReportFile, json_schema
from coreserver.reports.schema.upgrades import Step, upgrade
from tests.support.golden import REPORTS, golden_report

OPEN = ("run.config.clients", "run.config.server", "server.config", "server.details", "environment.versions")
STEPS = [
    ("1a-first", upgrades.add_client_processes, "1b-client-processes"),
    ("1b-client-processes", upgrades.add_measured_windows, "1c-windows"),
    ("1c-windows", upgrades.add_server_details, "1d-server-details"),
    ("1d-server-details", upgrades.add_listen_overflows, "1e-listen-overflows"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


def shape(value: Any, path: str = "") -> Iterator[str]:
    """Yield every place of a report, without those inside of settings, and the columns of its series."""
    if isinstance(value, dict) and path not in OPEN:
        for name, part in value.items():
            inner = f"{path}.{name}" if path else name
            yield inner
            yield from shape(part, inner)
    elif path == "groups":
        yield from shape(value[0], "groups.0")
    elif path == "series.columns":
        yield ",".join(value)


@pytest.mark.parametrize(("before", "step", "after"), STEPS, ids=[before for before, _, _ in STEPS])
def test_step_leads_to_the_next_shape(before: str, step: Step, after: str) -> None:
    found = set(shape(step(golden_report(before))))
    expected = set(shape(golden_report(after)))
    null_or_object = ("window.", "theory.")  # null in one report and an object in another one
    assert {place for place in found ^ expected if not any(part in place for part in null_or_object)} == set()


def schema_shape(schema: dict[str, Any], part: dict[str, Any], path: str = "") -> Iterator[str]:
    """The places that `shape` yields, from the JSON Schema of reports."""
    if path in OPEN:
        return
    options = [option for option in part.get("anyOf", [part]) if option != {"type": "null"}]
    for option in options:
        found = schema["$defs"][option["$ref"].rpartition("/")[2]] if "$ref" in option else option
        for name, inner in found.get("properties", {}).items():
            yield f"{path}.{name}" if path else name
            yield from schema_shape(schema, inner, f"{path}.{name}" if path else name)
        if path == "groups":
            yield from schema_shape(schema, found["items"], "groups.0")
        if path == "series.columns":
            yield ",".join(found["const"])


def test_change_of_shape_raises_the_version() -> None:
    schema = json_schema()
    kept = set(shape(golden_report(str(SCHEMA_VERSION))))
    current = set(schema_shape(schema, schema))
    assert kept == current, (
        "the shape of reports changed: raise SCHEMA_VERSION in coreserver/reports/schema/definitions.py, add an "
        "upgrade function if more than optional figures changed, and run `python -m tests.support.golden`"
    )


@pytest.mark.parametrize("name", REPORTS)
def test_upgraded_report_fits_the_schema(name: str) -> None:
    report = golden_report(name)
    before = deepcopy(report)
    found = upgrade(report)
    ReportFile.model_validate(found)
    assert report == before
    assert found["schema_version"] == SCHEMA_VERSION
    assert upgrade(found) == found


def test_current_report_is_not_changed() -> None:
    report = {**upgrade(golden_report("1a-first")), "more": {"kept": 1}}
    assert upgrade(report) == report


def test_new_columns_leave_the_old_ones_in_place() -> None:
    before, after = golden_report("1a-first")["series"], upgrade(golden_report("1a-first"))["series"]
    assert after["columns"][-1] == "listen_overflows"
    for name in after["columns"]:
        values = [row[after["columns"].index(name)] for row in after["rows"]]
        if name in before["columns"]:
            assert values == [row[before["columns"].index(name)] for row in before["rows"]]
        else:
            assert values == [None] * len(before["rows"])


def test_one_interval_holds_all_responses() -> None:
    report = upgrade(golden_report("1a-first"))
    intervals = report["histograms"]["intervals"]
    assert intervals["interval_s"] == pytest.approx(report["series"]["interval_s"] * len(report["series"]["rows"]))
    (encoded,) = intervals["response"]
    assert total_count(encoded, "intervals") == report["latency"]["response_ms"]["count"] > 0


@pytest.mark.parametrize("length_s", [0, -1.0, float("inf"), 10**400, "1", None])
def test_impossible_interval_is_left_to_validation(length_s: Any) -> None:
    report = golden_report("1a-first")
    report["series"]["interval_s"] = length_s
    found = upgrade(report)
    assert found["series"]["interval_s"] == length_s
    assert found["histograms"]["intervals"]["interval_s"] == 1.0


def test_no_warm_up_was_left_out() -> None:
    report = upgrade(golden_report("1a-first"))
    for part in (report, *report["groups"]):
        assert part["totals"]["warm_up"] == {"connections": 0, "messages": 0}
        assert part["window"] is None


@pytest.mark.parametrize(("version", "writer"), [("1.2.3", "Serverlab 1.2.3"), ("<b>", "a newer Serverlab")])
def test_newer_report_names_its_program(version: str, writer: str) -> None:
    report = {"schema_version": SCHEMA_VERSION + 1, "environment": {"versions": {"serverlab": version}}}
    with pytest.raises(ReportTooNew) as found:
        upgrade(report)
    assert str(found.value) == (
        f"the report was written by {writer} with schema version {SCHEMA_VERSION + 1}; this program reads versions up "
        f"to {SCHEMA_VERSION}: install a newer Serverlab to open it"
    )


@pytest.mark.parametrize("version", [None, "1", 0, -1, True, 1.0, [1]])
def test_unknown_version_is_left_to_validation(version: Any) -> None:
    assert upgrade({"schema_version": version, "run": 1}) == {"schema_version": version, "run": 1}
    assert upgrade({}) == {}


@given(st.dictionaries(st.sampled_from([*golden_report("1a-first"), "more"]), JSON))
def test_wrong_parts_are_left_to_validation(parts: dict[str, Any]) -> None:
    found = upgrade({**parts, "schema_version": 1})
    for name, part in parts.items():
        if name != "schema_version" and not isinstance(part, dict | list):
            assert found[name] == part
