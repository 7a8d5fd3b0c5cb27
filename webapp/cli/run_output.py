"""A run at the shell: one line while it goes on, a summary when it is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

from coreserver.reports.objectives import ObjectiveResult
from coreserver.reports.schema import Report
from coreserver.reports.schema_figures import Statistics
from coreserver.reports.vocabulary import DURATIONS, SPANS, STATISTICS
from webapp import formatting
from webapp.schemas.resources import EXTERNAL, RunResource

_ERASE_LINE = "\r\x1b[K"
_STATISTICS = tuple(name for name in DURATIONS if name != "min")
_SUMMARISED = ("connections", "messages", "warm_up", "bytes")  # parts of the totals that have lines of their own


class ProgressLine:
    """The state of a run in one line of a terminal that each look overwrites; elsewhere nothing is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream if stream.isatty() else None
        self._last: tuple[float, int] | None = None  # seconds and messages at the last look that had news
        self._per_s: float | None = None

    def show(self, run: RunResource) -> None:
        """What `run` is doing now."""
        if self._stream is not None:
            self._stream.write(_ERASE_LINE + self._words(run))
            self._stream.flush()

    def clear(self) -> None:
        """Leave the terminal as it was."""
        if self._stream is not None:
            self._stream.write(_ERASE_LINE)
            self._stream.flush()

    def _words(self, run: RunResource) -> str:
        if run.progress is None:
            return run.state
        counts, elapsed_s = run.progress.counts, run.progress.elapsed_s
        self._measure(elapsed_s, counts.get("messages", 0))
        in_flight = sum(counts.get(phase, 0) for phase in ("connecting", "waiting", "in_service"))
        rate = "" if self._per_s is None else f", {self._per_s:,.0f} messages/s"
        return f"{run.state} {elapsed_s:.1f} s{rate}, {in_flight:,} in flight"

    def _measure(self, at_s: float, messages: int) -> None:
        """Client processes tell their counts now and then: between two looks with the same count nothing is known."""
        last_s, last_messages = self._last or (0.0, 0)
        if messages != last_messages and at_s > last_s:
            self._per_s = (messages - last_messages) / (at_s - last_s)
            self._last = (at_s, messages)


def summary(run: RunResource, report: Report, objectives: Sequence[ObjectiveResult]) -> Iterator[str]:
    """The verdict and what was asked of the run first, then its figures."""
    yield f"verdict      {report.verdict.status}"
    for reason in report.verdict.reasons:
        yield f"             {reason.code}: {reason.detail}"
    for judged in objectives:
        yield f"objective    {judged.objective} {judged.detail}"
    yield ""
    yield run.sentence or why(run)
    yield ""
    yield from _totals(run, report)
    yield ""
    yield "milliseconds  " + "".join(f"{STATISTICS[name][0]:>10}" for name in ("count", *_STATISTICS))
    for span in SPANS:
        yield _row(span.label, getattr(getattr(report, span.path.partition(".")[0]), span.name))


def why(run: RunResource) -> str:
    """How a run ended, where there is no report to say it."""
    return f"run {run.id} {run.state}: {run.reason.detail}" if run.reason else f"run {run.id} {run.state}"


def _totals(run: RunResource, report: Report) -> Iterator[str]:
    totals = report.totals
    counts, messages = totals.connections, totals.messages
    yield f"run          {run.id}, {run.state}" + (f": {run.reason.detail}" if run.reason else "")
    yield f"server       {run.model}" + (f" at {report.server.name}" if run.model == EXTERNAL else "")
    yield f"clients      {counts.completed:,} of {counts.due:,} completed"
    yield f"messages     {messages.verified:,} verified of {messages.sent:,} sent"
    for row in formatting.rows_of(totals, missing="", exclude=_SUMMARISED):
        if row.value:
            yield f"{row.label:<12} {row.value}".replace(formatting.NARROW, " ")
    early = totals.warm_up
    if early.messages or early.connections:
        left_out = f"{early.messages:,} messages, {early.connections:,} clients"
        yield f"warm-up      {left_out}; not in the figures below"


def _row(name: str, statistics: Statistics) -> str:
    """A line of the table; `-` where there are too few samples to say, or none."""
    figures = (statistics.value(key) for key in _STATISTICS)
    cells = "".join(f"{'-' if figure is None else f'{figure:,.3f}':>10}" for figure in figures)
    return f"{name:<14}{statistics.count:>10,}{cells}"
