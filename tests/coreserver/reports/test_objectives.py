"""Objectives: their syntax, their comparison with a report, and figures without a value."""

from __future__ import annotations

import pytest

from coreserver.reports.objectives import METRICS, Objective
from coreserver.reports.schema.report import Report
from coreserver.reports.vocabulary import FIGURES
from tests.support.made_reports import report_of

SPAN = {"count": 150, "mean": 2.0, "min": 1.0, "p50": 1.5, "p90": 3.0, "p99": None, "p99_9": None, "max": 9.0}
NONE = dict.fromkeys(SPAN, None) | {"count": 0}
CONNECTIONS = {
    "due": 20,
    "connected": 19,
    "greeted": 19,
    "completed": 17,
    "refused": 1,
    "reset": 2,
    "timed_out": 0,
    "corrupted": 0,
    "not_started": 0,
    "self_connect": 0,
    "cancelled": 0,
    "unfinished": 0,
}
CHANGES = {
    "latency": dict.fromkeys(("response_ms", "round_trip_ms", "lateness_ms"), SPAN),
    "waits": dict.fromkeys(("connect_ms", "backlog_ms", "greeting_ms", "session_ms"), SPAN) | {"queue_ms": NONE},
    "totals": {
        "connections": CONNECTIONS,
        "messages": {"sent": 160, "verified": 150, "corrupted": 0, "unanswered": 10},
        "warm_up": {"connections": 0, "messages": 0},
        "bytes": {"sent": 0, "received": 0},
        "throughput_messages_per_s": 75.5,
        "duration_s": 2.0,
        "peak_in_service": None,
    },
}
REPORT = Report.model_validate(report_of([]).model_dump(mode="json") | CHANGES)


@pytest.mark.parametrize(
    ("text", "met", "detail"),
    [
        ("response_p50_ms<1.6", True, "met: 1.5"),
        ("response_p50_ms<1.5", False, "missed: 1.5"),
        ("response_p50_ms<=1.5", True, "met: 1.5"),
        (" response_mean_ms == 2 ", True, "met: 2"),
        ("lateness_max_ms<9", False, "missed: 9"),
        ("throughput_messages_per_s>=75.5", True, "met: 75.5"),
        ("throughput_messages_per_s>75.5", False, "missed: 75.5"),
        ("failed_connections<3", False, "missed: 3"),
        ("failed_connections<=3", True, "met: 3"),
        ("timed_out_connections==0", True, "met: 0"),
        ("unanswered_messages<1", False, "missed: 10"),
        ("response_p99_ms<1000", False, "missed: 150 samples are too few (1,000 needed)"),
        ("queue_p99_9_ms<1000", False, "missed: none reached this"),
        ("queue_mean_ms<1000", False, "missed: none reached this"),
        ("peak_in_service<1000", False, "missed: not measured"),
        ("peak_queue<5", False, "missed: not measured"),
    ],
)
def test_objective_compares_figure_and_bound(text: str, met: bool, detail: str) -> None:
    judged = Objective.parse(text).evaluate(REPORT)
    assert (judged.met, judged.detail) == (met, detail)
    assert judged.objective == text.replace(" ", "")


@pytest.mark.parametrize(
    "text",
    [*("", "response_p99_ms", "response_p99_ms<", "<5", "response_p99_ms<-5", "response_p99_ms<fast", "a b<5"),
     *("response_p99<5", "response_p95_ms<5", "response_p99_ms!=5", "response_p99_ms<5ms", "response_p99_ms<nan")],
)  # fmt: skip
def test_malformed_objective_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"should be FIGURE<NUMBER|there is no figure"):
        Objective.parse(text)


def test_names_are_unique_and_in_reports() -> None:
    names = [entry.objective for entry in FIGURES if entry in METRICS.values()]
    assert len(set(names)) == len(names) == len(METRICS)
    for name in names:
        assert Objective.parse(f"{name}<1").evaluate(REPORT).objective == f"{name}<1"


def test_no_report_misses_every_objective() -> None:
    judged = Objective.parse("corrupted_messages<1").evaluate(None)
    assert (judged.value, judged.met) == (None, False)
