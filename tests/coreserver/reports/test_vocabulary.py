"""The vocabulary: every figure of a report has one entry, and the documents are made from it."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest

from coreserver.reports.figure_values import value_of
from coreserver.reports.schema.definitions import COLUMNS
from coreserver.reports.schema.figures import Latency, Shape, Statistics, Theory, Totals, Waits, Window
from coreserver.reports.schema.report import Environment, Report, Server
from coreserver.reports.vocabulary import FIGURES, SPANS, STATISTICS, find_figure, span_named
from docs import glossary_figures
from tests.support.made_reports import report_of, visitors

NO_FIGURES = {"server.id", "environment.limits.open_files", "environment.limits.processes_and_threads"}
COMPUTED = {"failed_connections", "server.cpu_us_per_message"}


def numbers(shape: type[Shape], path: str) -> Iterator[str]:
    """Yield the paths of all fields of a part of a report that are numbers."""
    for name, field in shape.model_fields.items():
        types = [one for one in _alternatives(field.annotation) if isinstance(one, type)]
        for one in types:
            if issubclass(one, Shape):
                yield from numbers(one, f"{path}.{name}")
        if {int, float} & set(types):
            yield f"{path}.{name}"


def _alternatives(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in (Union, UnionType):
        for one in get_args(annotation):
            yield from _alternatives(one)
    elif hasattr(annotation, "__metadata__"):
        yield from _alternatives(get_args(annotation)[0])
    else:
        yield get_origin(annotation) or annotation


PARTS: dict[str, type[Shape]] = {
    "window": Window,
    "totals": Totals,
    "latency": Latency,
    "waits": Waits,
    "server": Server,
    "theory": Theory,
    "environment": Environment,
}


@pytest.mark.parametrize("part", PARTS)
def test_every_number_has_an_entry(part: str) -> None:
    known = {entry.path for entry in FIGURES if entry.part == part} - COMPUTED
    found = {path for path in numbers(PARTS[part], part) if not any(path.startswith(one) for one in NO_FIGURES)}
    assert found == known


def test_series_columns_have_entries() -> None:
    assert [entry.name for entry in FIGURES if entry.part == "series"] == list(COLUMNS)


def test_distributions_match_the_schema() -> None:
    assert [span.name for span in SPANS] == [*Latency.model_fields, *Waits.model_fields]
    assert list(STATISTICS) == list(Statistics.model_fields)


def test_paths_are_unique() -> None:
    assert len({entry.path for entry in FIGURES}) == len(FIGURES)
    assert len({(entry.section, entry.label) for entry in FIGURES if entry.is_compared}) == sum(
        entry.is_compared for entry in FIGURES
    )


def test_explanations_are_one_sentence() -> None:
    for entry in FIGURES:
        assert entry.label, entry.path
        assert entry.explanation, entry.path
        assert not entry.explanation.endswith("."), entry.path


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("totals.duration_s", "s"),
        ("totals.throughput_messages_per_s", "per_s"),
        ("totals.bytes.sent", "bytes"),
        ("latency.response_ms.p99", "ms"),
        ("latency.response_ms.count", "number"),
        ("server.peak_rss_bytes", "bytes"),
        ("server.cpu_us_per_message", "us"),
        ("series.cpu_percent", "percent"),
        ("totals.peak_in_service", "number"),
    ],
)
def test_unit_follows_from_the_name(path: str, unit: str) -> None:
    entry = find_figure(path)
    assert entry is not None
    assert entry.unit == unit


def test_one_name_per_queue() -> None:
    assert span_named("backlog_ms").label == "backlog wait"
    assert span_named("queue_ms").label == "queue wait"
    labels = {entry.name: entry.label for entry in FIGURES if entry.part in ("series", "server")}
    assert (labels["accept_queue"], labels["queue_depth"]) == ("backlog", "queue")
    assert (labels["peak_accept_queue"], labels["peak_queue"]) == ("longest backlog", "longest queue")


def test_values_are_found_by_path() -> None:
    report: Report = report_of(visitors(20))
    for entry in FIGURES:
        if entry.part not in ("series", "theory"):
            found = value_of(entry, report)
            assert (found.value is None) is (found.missing is not None), entry.path


def test_glossary_has_the_figures() -> None:
    assert glossary_figures.FILE.read_text() == glossary_figures.text(), "run: python -m docs.glossary_figures"
