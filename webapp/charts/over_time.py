"""The run over time: messages, connections, queues, threads and CPU time.

Small charts one above the other share the time axis and the rule that follows the pointer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import altair as alt

from coreserver.reports.schema.figures import Window
from coreserver.reports.schema.report import Report
from coreserver.reports.vocabulary import figure
from webapp import formatting
from webapp.charts.base import Table
from webapp.charts.downsample import MAX_STEPS, downsample
from webapp.charts.spec import Pointer, Rows, finish_spec, named_data, run_title
from webapp.charts.theme import ARRIVAL, BACKLOG, BLUE, EMBER, QUEUE, QUIET, SERVED, SOFT, WASH, WIDTH, Spec

HEIGHT = 64
MAX_ROWS = 24  # of the table
SOLID, DASHED, DOTTED = [1, 0], [6, 3], [2, 2]


@dataclass(frozen=True)
class Line:
    """A line of a small chart: its column among the steps, and its label if that is not a figure of the series."""

    panel: str
    column: str
    colour: str
    dash: list[int]
    rate: str = ""

    @property
    def label(self) -> str:
        """The label in the legend of its panel."""
        return self.rate or figure(f"series.{self.column}").label

    @property
    def text(self) -> str:
        """The field that has the figure as text."""
        return f"{self.column}_text"

    @property
    def name(self) -> str:
        """The label outside of its panel."""
        return f"{self.panel} {self.label}" if self.panel in ("messages", "connections") else self.label


LINES = (
    Line("messages", "due_per_s", QUIET, DASHED, rate="due per second"),
    Line("messages", "answered_per_s", SERVED, SOLID, rate="answered per second"),
    Line("connections", "in_flight", BLUE, SOLID),
    Line("connections", "in_service", SERVED, DASHED),
    Line("connections", "waiting", EMBER, DOTTED),
    Line("queues", "queue_depth", QUEUE, SOLID),
    Line("queues", "accept_queue", BACKLOG, DASHED),
    Line("threads", "threads_alive", BLUE, SOLID),
    Line("threads", "threads_busy", SERVED, DASHED),
    Line("CPU", "cpu_percent", ARRIVAL, SOLID, rate="% of one core"),
)


def missing(report: Report) -> str:
    """Return why there is nothing to draw."""
    series = report.series
    if not series.rows:
        return "The run ended before anything was due."
    return "" if any(series.column("started")) else "No client was greeted during the run."


def spec(report: Report, title: str) -> Spec:
    """Return the chart: one panel per group of columns with any measured value."""
    step_s, found = _rows(report, MAX_STEPS)
    known = _known(found)
    pointer = Pointer("t_s", {"time": "time", **{line.text: line.name for line in known}})
    base = named_data("steps").properties(width=WIDTH, height=HEIGHT)
    drawn = []
    for name, lines in groupby(known, lambda line: line.panel):
        x = _time_axis(found[-1]["t_s"], is_last=name == known[-1].panel)
        outside = named_data("outside").mark_rect(color=WASH).encode(x=x, x2=alt.X2("to_s:Q"))
        drawn.append(
            alt.layer(outside, _lines(base, x, list(lines), has_points=len(found) == 1), *pointer.rule(base, x))
        )
    return finish_spec(
        alt.vconcat(*drawn, spacing=12).resolve_scale(color="independent", strokeDash="independent"),
        {
            "steps": pointer.strips(found),
            "outside": _outside(report, found[-1]["t_s"]),
            "words": [{"column": line.column, "line": line.label} for line in known],
        },
        title=title,
        subtitle=[
            run_title(report),
            f"a point every {formatting.seconds(step_s)}: mean rates, maxima of other figures",
        ],
        description=summary(report),
        pointer=pointer,
    )


def summary(report: Report) -> str:
    """Return the peaks, and what was not measured."""
    step_s, found = _rows(report, MAX_STEPS)
    rates = [row["answered_per_s"] for row in found if row["answered_per_s"] is not None]
    answered = "Messages per step were not recorded"  # by the first versions
    if rates:
        rate, over = formatting.decimal(max(rates)), formatting.seconds(step_s)
        answered = f"At most {rate} messages per second were answered, averaged over {over}"
    named = {"in_flight": "in flight", "waiting": "waiting", "queue_depth": "queued", "threads_alive": "threads"}
    peaks = {
        words: max((row[column] for row in found if row[column] is not None), default=None)
        for column, words in named.items()
    }
    texts = ", ".join(f"{formatting.count(peak)} {words}" for words, peak in peaks.items() if peak is not None)
    shaded = " The time outside of the measured window is shaded." if _outside(report, found[-1]["t_s"]) else ""
    unseen = " The server was not sampled." if peaks["threads"] is None else ""
    return f"{answered}; at most {texts} at once.{unseen}{shaded}"


def rows(report: Report) -> Table:
    """Return the same figures in at most `MAX_ROWS` steps."""
    _, found = _rows(report, MAX_ROWS)
    known = _known(found)
    return Table(
        ("from", *(line.name for line in known)),
        tuple((row["time"], *(row[line.text] for line in known)) for row in found),
    )


def _rows(report: Report, max_steps: int) -> tuple[float, list[dict[str, Any]]]:
    """Return the length of a step, and for each step the figures of all lines as numbers and as text."""
    step_s, found = downsample(report, max_steps)
    drawn = []
    for row in found:
        length_s = row["length_s"]
        counts = {"due_per_s": row["messages_due"], "answered_per_s": row["messages_answered"]}
        rates = {name: None if count is None else count / length_s for name, count in counts.items()}
        figure_of = {line.column: (row | rates)[line.column] for line in LINES}
        texts = {line.text: _text(figure_of[line.column]) for line in LINES}
        drawn.append({"t_s": row["t_s"], "time": formatting.seconds(row["t_s"]), **figure_of, **texts})
    return step_s, drawn


def _text(value: float | None) -> str:
    return formatting.NONE if value is None else formatting.decimal(round(value, 1))


def _known(found: list[dict[str, Any]]) -> list[Line]:
    """Return the lines with any measured value."""
    return [line for line in LINES if any(row[line.column] is not None for row in found)]


def _time_axis(end_s: float, *, is_last: bool) -> alt.X:
    x = alt.X("t_s:Q", title="seconds of the run" if is_last else None)
    x = x.scale(domain=[0, max(end_s, 0.1)], nice=False)
    return x.axis(labels=is_last, ticks=is_last)


def _lines(base: alt.Chart, x: alt.X, lines: Sequence[Line], *, has_points: bool) -> alt.Chart:
    """Return the lines of one panel; a run of a single step needs points, because a line would show nothing."""
    words = [line.label for line in lines]
    words_of = alt.LookupData(data=alt.NamedData(name="words"), key="column", fields=["line"])
    legend = alt.Legend(title=lines[0].panel, titleOrient="left", titleFontSize=12, titleColor=SOFT, offset=2)
    drawn: alt.Chart = (
        base.transform_fold([line.column for line in lines], as_=["column", "figure"])
        .transform_lookup(lookup="column", from_=words_of)
        .mark_line(point=has_points)
        .encode(
            x=x,
            y=alt.Y("figure:Q", title=None).axis(tickCount=3, format="~s"),
            color=alt.Color("line:N", legend=legend).scale(domain=words, range=[line.colour for line in lines]),
            strokeDash=alt.StrokeDash("line:N", legend=legend).scale(domain=words, range=[line.dash for line in lines]),
        )
    )
    return drawn


def _outside(report: Report, end_s: float) -> Rows:
    """Return the spans outside of the measured window."""
    window = report.window or Window(from_s=0.0, until_s=end_s)
    spans = ((0.0, min(window.from_s, end_s)), (window.until_s, end_s))
    return [{"t_s": from_s, "to_s": to_s} for from_s, to_s in spans if to_s > from_s]
