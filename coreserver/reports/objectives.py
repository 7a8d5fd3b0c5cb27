"""Objectives of a run, such as `response_p99_ms<50`: one figure of the report and a bound.

Figures of totals, latency, waits and server can be used. Their names follow from the vocabulary:

    {response, round_trip, lateness, connect, backlog, queue, greeting, session}
        _{mean, min, p50, p90, p99, p99_9, max}_ms
    throughput_messages_per_s, duration_s, peak_in_service, cpu_s, peak_threads, …
    {due, connected, greeted, completed, refused, reset, timed_out, …}_connections, failed_connections
    {sent, verified, corrupted, unanswered}_messages
"""

from __future__ import annotations

import operator
import re
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from coreserver.reports.figure_values import TOO_FEW, FigureValue, value_of
from coreserver.reports.schema.definitions import PERCENTILES, samples_needed
from coreserver.reports.schema.report import Report
from coreserver.reports.vocabulary import FAILED, FIGURES, FigureEntry, figure

_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq}
_OBJECTIVE = re.compile(r"\s*([a-z0-9_]+)\s*(<=|>=|==|<|>)\s*(\d+(?:\.\d+)?)\s*\Z", re.ASCII)
_PARTS = ("totals", "latency", "waits", "server", FAILED)

# Every figure that can be an objective, by its name there.
METRICS: dict[str, FigureEntry] = {
    entry.objective: entry for entry in FIGURES if entry.part in _PARTS and entry.name != "count"
}


@dataclass(frozen=True, slots=True)
class ObjectiveResult:
    """An objective with the value of its figure; `value` is None if the report has none."""

    objective: str
    value: float | None
    met: bool
    detail: str

    def document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Objective:
    """One figure and its bound."""

    metric: str
    comparison: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Parse an objective such as `response_p99_ms<50`; ValueError says what is wrong with it."""
        parsed = _OBJECTIVE.match(text)
        if parsed is None:
            raise ValueError(f"{text!r} should be FIGURE<NUMBER, with <, <=, >, >= or ==")
        metric, comparison, bound = parsed.groups()
        if metric not in METRICS:
            near = ", ".join(get_close_matches(metric, METRICS)) or ", ".join(METRICS)
            raise ValueError(f"{text!r}: there is no figure {metric!r}; there are {near}")
        return cls(metric, comparison, float(bound))

    def __str__(self) -> str:
        return f"{self.metric}{self.comparison}{self.bound:g}"

    def evaluate(self, report: Report | None) -> ObjectiveResult:
        """Return whether the run met the objective; a figure without a value counts as missed."""
        if report is None:
            return ObjectiveResult(str(self), None, met=False, detail="missed: the run ended without a report")
        entry = METRICS[self.metric]
        found = value_of(entry, report)
        if found.value is None:
            detail = f"missed: {_why_missing(entry, found, report)}"
            return ObjectiveResult(str(self), None, met=False, detail=detail)
        met = bool(_COMPARE[self.comparison](found.value, self.bound))
        return ObjectiveResult(str(self), found.value, met, f"{'met' if met else 'missed'}: {found.value:,.6g}")


def _why_missing(entry: FigureEntry, found: FigureValue, report: Report) -> str:
    if found.missing == TOO_FEW and entry.name in PERCENTILES:
        samples = value_of(figure(f"{entry.path.rpartition('.')[0]}.count"), report).value
        return f"{samples:,} samples are too few ({samples_needed(PERCENTILES[entry.name]):,} needed)"
    return str(found.missing)
