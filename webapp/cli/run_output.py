"""Output of `serverlab run`: a progress line on a terminal, and a summary at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TextIO

from coreserver.reports.objectives import ObjectiveResult
from coreserver.reports.schema.figures import Statistics
from coreserver.reports.schema.report import Report
from coreserver.reports.vocabulary import DURATIONS, SPANS, STATISTICS
from webapp import formatting
from webapp.schemas.resources import EXTERNAL, RunResource

_ERASE_LINE = "\r\x1b[K"
_STATISTICS = tuple(name for name in DURATIONS if name != "min")
_SUMMARISED = ("connections", "messages", "warm_up", "bytes")  # totals with lines of their own


class ProgressLine:
    """One line with the state of a run, overwritten at every poll. Writes nothing if the stream is not a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream if stream.isatty() else None
        self._last: tuple[float, int] | None = None  # seconds and messages at the last change
        self._per_s: float | None = None

    def show(self, run: RunResource) -> None:
        """Show the present state of the run."""
        if self._stream is not None:
            self._stream.write(_ERASE_LINE + self._text(run))
            self._stream.flush()

    def clear(self) -> None:
        """Erase the line."""
        if self._stream is not None:
            self._stream.write(_ERASE_LINE)
            self._stream.flush()

    def _text(self, run: RunResource) -> str:
        if run.progress is None:
            return run.state
        counts, elapsed_s = run.progress.counts, run.progress.elapsed_s
        self._measure(elapsed_s, counts.get("messages", 0))
        in_flight = sum(counts.get(phase, 0) for phase in ("connecting", "waiting", "in_service"))
        rate = "" if self._per_s is None else f", {self._per_s:,.0f} messages/s"
        return f"{run.state} {elapsed_s:.1f} s{rate}, {in_flight:,} in flight"

    def _measure(self, at_s: float, messages: int) -> None:
        """Update the rate if the count has changed: client processes report their counts only from time to time."""
        last_s, last_messages = self._last or (0.0, 0)
        if messages != last_messages and at_s > last_s:
            self._per_s = (messages - last_messages) / (at_s - last_s)
            self._last = (at_s, messages)


def render_summary(run: RunResource, report: Report, objectives: Sequence[ObjectiveResult]) -> Iterator[str]:
    """Yield the lines of the summary: verdict, objectives, totals, and the table of latencies."""
    yield f"verdict      {report.verdict.status}"
    for reason in report.verdict.reasons:
        yield f"             {reason.code}: {reason.detail}"
    for judged in objectives:
        yield f"objective    {judged.objective} {judged.detail}"
    yield ""
    yield run.sentence or describe_end(run)
    yield ""
    yield from _totals(run, report)
    yield ""
    yield "milliseconds  " + "".join(f"{STATISTICS[name][0]:>10}" for name in ("count", *_STATISTICS))
    for span in SPANS:
        yield _row(span.label, getattr(getattr(report, span.path.partition(".")[0]), span.name))


def describe_end(run: RunResource) -> str:
    """Describe the end of a run that has no report."""
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
    """Render a row of the table, with `-` for figures that are omitted because there are too few samples."""
    figures = (statistics.value(key) for key in _STATISTICS)
    cells = "".join(f"{'-' if figure is None else f'{figure:,.3f}':>10}" for figure in figures)
    return f"{name:<14}{statistics.count:>10,}{cells}"
