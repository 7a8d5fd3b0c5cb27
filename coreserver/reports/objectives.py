"""What a run has to reach, written as `response_p99_ms<50`: an objective is one figure of the report and a bound.

The figures that have a name here:

    {response, round_trip, lateness, connect, backlog, queue, greeting, session}
        _{mean, min, p50, p90, p99, p99_9, max}_ms
    throughput_messages_per_s, duration_s, peak_in_service
    {due, connected, greeted, completed, refused, reset, timed_out, …}_connections, failed_connections
    {sent, verified, corrupted, unanswered}_messages

`failed_connections` are those that were due and did not complete.
"""

from __future__ import annotations

import operator
import re
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from coreserver.records.client import ClientOutcome
from coreserver.reports.definitions import PERCENTILES, samples_needed
from coreserver.reports.schema import Report

FAILED = "failed_connections"
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq}
_WRITTEN = re.compile(r"\s*([a-z0-9_]+)\s*(<=|>=|==|<|>)\s*(\d+(?:\.\d+)?)\s*\Z", re.ASCII)
_SPANS = {
    **dict.fromkeys(("response", "round_trip", "lateness"), "latency"),
    **dict.fromkeys(("connect", "backlog", "queue", "greeting", "session"), "waits"),
}
_STATISTICS = ("mean", "min", *PERCENTILES, "max")
_CONNECTIONS = ("due", "connected", "greeted", *ClientOutcome, "unfinished")
_MESSAGES = ("sent", "verified", "corrupted", "unanswered")

# Every figure, and where the report has it.
METRICS: dict[str, tuple[str, ...]] = {
    **{f"{span}_{name}_ms": (part, f"{span}_ms", name) for span, part in _SPANS.items() for name in _STATISTICS},
    **{name: ("totals", name) for name in ("throughput_messages_per_s", "duration_s", "peak_in_service")},
    **{f"{name}_connections": ("totals", "connections", str(name)) for name in _CONNECTIONS},
    FAILED: ("totals", "connections"),
    **{f"{name}_messages": ("totals", "messages", name) for name in _MESSAGES},
}


def figure(metric: str, report: Report) -> float | None:
    """The value of one of `METRICS`; None where the report does not give it."""
    value: Any = report
    for name in METRICS[metric]:
        value = getattr(value, name)
    found: float | None = value.due - value.completed if metric == FAILED else value
    return found


@dataclass(frozen=True, slots=True)
class ObjectiveResult:
    """An objective beside what the run reached; `value` is None where the report does not give that figure."""

    objective: str
    value: float | None
    met: bool
    detail: str

    def document(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Objective:
    """One figure and its bound."""

    metric: str
    comparison: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Objective:
        """An objective such as `response_p99_ms<50`; ValueError says what is wrong with it."""
        written = _WRITTEN.match(text)
        if written is None:
            raise ValueError(f"{text!r} should be FIGURE<NUMBER, with <, <=, >, >= or ==")
        metric, comparison, bound = written.groups()
        if metric not in METRICS:
            near = ", ".join(get_close_matches(metric, METRICS)) or ", ".join(METRICS)
            raise ValueError(f"{text!r}: there is no figure {metric!r}; there are {near}")
        return cls(metric, comparison, float(bound))

    def __str__(self) -> str:
        return f"{self.metric}{self.comparison}{self.bound:g}"

    def judged(self, report: Report | None) -> ObjectiveResult:
        """Whether the run has met it; a figure that the report withholds was not reached."""
        if report is None:
            return ObjectiveResult(str(self), None, met=False, detail="missed: the run ended without a report")
        value = figure(self.metric, report)
        if value is None:
            return ObjectiveResult(str(self), None, met=False, detail=f"missed: {self._why_none(report)}")
        met = bool(_COMPARE[self.comparison](value, self.bound))
        return ObjectiveResult(str(self), value, met, f"{'met' if met else 'missed'}: {value:,.6g}")

    def _why_none(self, report: Report) -> str:
        """The report keeps percentiles of few samples to itself, and what nobody recorded."""
        part, *place = METRICS[self.metric]
        if place[-1] not in PERCENTILES:
            return "it was not measured"
        count = getattr(getattr(report, part), place[0]).count
        return f"withheld, {count:,} samples are too few ({samples_needed(PERCENTILES[place[-1]]):,} needed)"
