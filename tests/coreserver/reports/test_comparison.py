"""Comparison of runs: the arithmetic on constructed reports."""

from __future__ import annotations

from typing import Any

import pytest

from coreserver.reports.comparison import ComparedFigure, ComparedValue, RunComparison, compare, flatten
from coreserver.reports.schema.report import Report
from tests.support.fake_lab import FakeLab, article_connections


def report(number: int = 1, **changes: Any) -> Report:
    """Return the report of the article's three clients at a pool of two, with the changes of a test."""
    lab = FakeLab()
    lab.add_run(label="pool", connections=article_connections())
    made = lab.results.report(1).model_dump(mode="json")
    made["run"]["id"] = number
    for path, value in changes.items():
        *above, last = path.split("__")
        place = made
        for step in above:
            place = place[step]
        place[last] = place[last] | value if isinstance(value, dict) and last != "config" else value
    return Report.model_validate(made)


def figure(found: RunComparison, name: str) -> ComparedFigure:
    [one] = [figure for figure in found.figures if figure.name == name]
    return one


def second(found: RunComparison, name: str) -> ComparedValue:
    return figure(found, name).values[1]


@pytest.mark.parametrize(
    ("path", "values", "expected"),
    [
        ("latency.response_ms.p99", (200.0, 150.0), (-50.0, -25.0, "better")),
        ("latency.response_ms.p99", (200.0, 300.0), (100.0, 50.0, "worse")),
        ("latency.response_ms.p99", (200.0, 200.1), (pytest.approx(0.1), pytest.approx(0.05), "same")),
        ("latency.response_ms.p99", (0.0, 1.0), (1.0, None, "worse")),
        ("latency.response_ms.p99", (0.0, 0.0), (0.0, None, "same")),
        ("totals.throughput_messages_per_s", (100.0, 150.0), (50.0, 50.0, "better")),
        ("totals.throughput_messages_per_s", (100.0, 50.0), (-50.0, -50.0, "worse")),
        ("totals.peak_in_service", (2, 3), (1, 50.0, "more")),
        ("server.peak_threads", (4, 1), (-3, -75.0, "less")),
        ("totals.duration_s", (4.0, 2.0), (-2.0, -50.0, "better")),
    ],
)
def test_distance_has_delta_percent_and_word(
    path: str, values: tuple[float, float], expected: tuple[float, float | None, str]
) -> None:
    name = path.replace(".", "__")
    found = compare([report(1, **{name: values[0]}), report(2, **{name: values[1]})])
    base, other = figure(found, path).values
    assert (base.value, base.delta, base.percent, base.word) == (values[0], None, None, None)
    assert (other.value, (other.delta, other.percent, other.word)) == (values[1], expected)


def test_missing_figure_says_why() -> None:
    empty = {"count": 0, "p50": None, "p99": None, "mean": None}
    few = {"count": 6, "p50": None, "p99": None, "mean": 2.0}
    found = compare([report(1, latency__response_ms=few), report(2, latency__response_ms=empty)])
    assert [value.missing for value in figure(found, "latency.response_ms.p99").values] == [
        "too few samples",
        "none reached this",
    ]
    assert (second(found, "latency.response_ms.p99").delta, second(found, "latency.response_ms.p99").word) == (
        None,
        None,
    )
    found = compare([report(1), report(2, server__cpu_s=1.5)])
    assert [value.missing for value in figure(found, "server.cpu_s").values] == ["not measured", None]
    assert "server.listen_overflows_scope" not in [figure.name for figure in found.figures]


def test_duration_needs_the_same_clients() -> None:
    more = article_connections(clients=5)
    lab = FakeLab()
    lab.add_run(connections=article_connections())
    lab.add_run(connections=more)
    found = compare([lab.results.report(1), lab.results.report(2)])
    assert figure(found, "totals.duration_s").better is None
    assert second(found, "totals.duration_s").word == "more"


def test_invalid_run_has_no_better_or_worse() -> None:
    invalid = {"status": "invalid", "reasons": [{"code": "corrupted", "severity": "invalid", "detail": ""}]}
    for reports in (
        [report(1, verdict=invalid, totals__duration_s=9.0), report(2)],
        [report(1, totals__duration_s=9.0), report(2, verdict=invalid)],
    ):
        found = compare(reports)
        assert second(found, "totals.duration_s").word == "less"
        [remark] = [remark for remark in found.remarks if remark.severity == "invalid"]
        assert "is invalid (corrupted): its figures are not reliable" in remark.detail


def test_differences_are_listed_by_path() -> None:
    first = report(1, server__config={"model": "bounded_pool", "workers": 2, "work": {"kind": "none"}})
    other = report(
        2,
        server__config={"model": "executor_pool", "workers": 2, "work": {"kind": "sleep", "mean_ms": 5}},
        environment__kernel="7.0",
        environment__load_average_1min=3.0,
        run__seed=4,
    )
    found = compare([first, other])
    assert {one.path: [setting.value for setting in one.values] for one in found.differences} == {
        "server.model": ["bounded_pool", "executor_pool"],
        "server.work.kind": ["none", "sleep"],
        "server.work.mean_ms": [None, 5],
        "seed": [0, 4],
        "environment.kernel": ["6.0", "7.0"],
    }
    assert [one.part for one in found.differences] == ["server"] * 3 + ["schedule", "environment"]
    [mean] = [one for one in found.differences if one.path == "server.work.mean_ms"]
    assert [setting.is_set for setting in mean.values] == [False, True]
    assert {"server.workers", "clients.0.count", "environment.cpu"} <= {one.path for one in found.same}
    assert "environments_differ" in [remark.code for remark in found.remarks]


def test_unknown_schedule_is_no_difference() -> None:
    hashes = "a" * 64, "b" * 64
    for second_hash, differs in ((hashes[0], False), (hashes[1], True), (None, False)):
        found = compare([report(1, run__schedule_sha256=hashes[0]), report(2, run__schedule_sha256=second_hash)])
        assert ("schedules_differ" in [remark.code for remark in found.remarks]) is differs


def test_common_groups_are_compared() -> None:
    lab = FakeLab()
    for name in ("conn", "conn", "other"):
        lab.add_run(connections=article_connections(name=name))
    for run_id in (1, 2):
        lab.all_runs[run_id].config["clients"].append({"kind": "script", "name": "probe", "count": 1})
    found = compare([lab.results.report(1), lab.results.report(2)])
    assert figure(found, "groups.probe.totals.connections.completed").values[0].value == 0
    assert figure(found, "groups.script.latency.response_ms.max").section == "Group script"
    third = compare([lab.results.report(1), lab.results.report(3)])
    assert not [figure for figure in third.figures if figure.section == "Group script"]


@pytest.mark.parametrize(
    ("document", "leaves"),
    [
        ({"a": 1, "b": {"c": [1, 2], "d": {}}}, {"a": 1, "b.c": [1, 2]}),
        ({"a": [{"b": 1}, {"b": [[1], 2]}], "c": []}, {"a.0.b": 1, "a.1.b.0": [1], "a.1.b.1": 2, "c": []}),
        ({"a": None}, {"a": None}),
    ],
)
def test_documents_are_flattened_to_paths(document: Any, leaves: dict[str, Any]) -> None:
    assert dict(flatten(document)) == leaves
