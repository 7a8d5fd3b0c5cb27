"""Response times over time as a heat map, which shows separate clusters that a mean would hide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import altair as alt
import numpy as np

from coreserver.reports.schema.definitions import PERCENTILES, samples_needed
from coreserver.reports.schema.report import Report
from webapp import formatting
from webapp.charts.base import Table
from webapp.charts.histogram import Distribution, decode, lower_ms
from webapp.charts.percentile_rows import LABELS
from webapp.charts.spec import AnyChart, finish_spec, named_data, run_title
from webapp.charts.theme import EMBER, INK, MIN_MS, MS_LABEL, PAPER, RAMP, WIDTH, Spec, log_ticks, ms_text, positive

HEIGHT = 300
MAX_COLUMNS = 90  # columns of cells
PER_DECADE = 10  # rows of cells
MAX_ROWS = 24  # of the table
MIN_MESSAGES = 20
LINES = {LABELS["p50"]: ("p50", INK), LABELS["p99"]: ("p99", EMBER)}


def missing(report: Report) -> str:
    """Return why there is no map."""
    count = report.latency.response_ms.count
    if count >= MIN_MESSAGES:
        return ""
    if not count:
        return "No message was answered after the warm-up, so there is no response time to draw."
    return f"{formatting.count(count)} answered messages are too few for a map; the timeline shows each of them."


def spec(report: Report, title: str) -> Spec:
    """Return the chart: cells coloured by their number of messages, with lines of percentiles on top."""
    cells, points = _cells_and_points(report)
    most = max(cell["messages"] for cell in cells)
    end_s = max(cell["to_s"] for cell in cells)
    low_ms, high_ms = (cell["from_ms"] for cell in cells), (cell["to_ms"] for cell in cells)
    x = alt.X("from_s:Q", title="seconds of the run, when the messages were due").scale(domain=[0, end_s], nice=False)
    y = alt.Y("from_ms:Q", title=None).scale(type="log", nice=False)
    y = y.axis(labelExpr=MS_LABEL, values=log_ticks(min(low_ms), max(high_ms)))
    shade = alt.Color("messages:Q", title="messages").scale(
        type="log", domain=[1, max(most, 2)], range=list(RAMP), interpolate="rgb"
    )
    base = (
        named_data("cells")
        .properties(width=WIDTH, height=HEIGHT)
        .transform_calculate(
            due="datum.from_s + ' s to ' + datum.to_s + ' s'",
            took=f"{ms_text('datum.from_ms')} + ' to ' + {ms_text('datum.to_ms')}",
        )
    )
    cells_drawn = base.mark_rect().encode(
        x=x,
        x2=alt.X2("to_s:Q"),
        y=y,
        y2=alt.Y2("to_ms:Q"),
        color=shade.legend(orient="top", gradientLength=140, titleOrient="left", tickCount=3, format="~s"),
        tooltip=[alt.Tooltip(f"{name}:N", title=name) for name in ("due", "took", "messages")],
    )
    return finish_spec(
        alt.layer(cells_drawn, _percentile_lines()),
        {"cells": cells, "points": points},
        title=title,
        subtitle=run_title(report),
        description=summary(report),
    )


def summary(report: Report) -> str:
    """Return when the slowest message was due, and how it compares with the median."""
    response = report.latency.response_ms
    return (
        f"The slowest of {formatting.count(response.count)} messages took {formatting.ms(response.max)} and was "
        f"due {formatting.seconds(_worst_s(report))} into the run; "
        f"the median is {formatting.ms(response.p50)}."
    )


def _worst_s(report: Report) -> float:
    """Return the step in which the slowest message was due, in seconds of the run, without the warm-up."""
    series, window = report.series, report.window
    from_s = window.from_s - series.interval_s / 2 if window else 0.0
    steps = zip(series.column("response_max_ms"), series.column("t_s"), strict=True)
    measured = [(slowest, t_s) for slowest, t_s in steps if slowest is not None and t_s is not None and t_s >= from_s]
    return max(measured, key=lambda step: step[0], default=(0.0, 0.0))[1]


def rows(report: Report) -> Table:
    """Return the number of messages due in each part of the run, with percentiles and the maximum."""
    table = []
    for from_s, _, part in _parts(report, MAX_ROWS):
        if part.total:
            known = (formatting.ms(_percentile(part, name)) for name, _ in LINES.values())
            slowest = formatting.ms(float(part.at(np.ones(1))[0]))
            table.append((formatting.seconds(from_s), formatting.count(part.total), *known, slowest))
    return Table(("due from", "messages", *LINES, LABELS["max"]), tuple(table))


def _parts(report: Report, max_parts: int) -> Iterator[tuple[float, float, Distribution]]:
    """Yield the parts of the run: start and end in seconds, and the response times of the messages due in between."""
    intervals = report.histograms.intervals
    encoded, interval_s = intervals.response, intervals.interval_s
    each = max(1, -(-len(encoded) // max_parts))
    for k in range(0, len(encoded), each):
        yield k * interval_s, min(k + each, len(encoded)) * interval_s, decode(encoded[k : k + each])


def _percentile(part: Distribution, name: str) -> float | None:
    per_mille = PERCENTILES[name]
    if part.total < samples_needed(per_mille):
        return None
    return float(part.at(np.array([per_mille / 1000]))[0])


def _cells_and_points(report: Report) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the cells that hold any message, and the points of the percentile lines."""
    cells: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    for from_s, to_s, part in _parts(report, MAX_COLUMNS):
        cells += _column(round(from_s, 3), round(to_s, 3), part)
        middle_s = round((from_s + to_s) / 2, 3)
        for line, (name, _) in LINES.items():
            if (value_ms := _percentile(part, name)) is not None:
                points.append({"from_s": middle_s, "from_ms": positive(value_ms), "line": line})
    return cells, points


def _column(from_s: float, to_s: float, part: Distribution) -> list[dict[str, Any]]:
    """Return the cells of one part of the run: the number of messages per step of the logarithmic scale."""
    places = np.flatnonzero(part.counts)
    rungs = np.floor(PER_DECADE * np.log10(np.maximum(lower_ms(places), MIN_MS)) + 1e-9).astype(np.int64)
    found = []
    for rung in np.unique(rungs).tolist():
        low_ms, high_ms = 10 ** (rung / PER_DECADE), 10 ** ((rung + 1) / PER_DECADE)
        found.append(
            {
                "from_s": from_s,
                "to_s": to_s,
                "from_ms": float(f"{low_ms:.5g}"),
                "to_ms": float(f"{high_ms:.5g}"),
                "messages": int(part.counts[places[rungs == rung]].sum()),
            }
        )
    return found


def _percentile_lines() -> AnyChart:
    """Return the lines, each on a wider one in the background colour, so that it is visible on any cell."""
    base = named_data("points").encode(x=alt.X("from_s:Q"), y=alt.Y("from_ms:Q"))
    words = list(LINES)
    colours = alt.Stroke("line:N", title=None).scale(domain=words, range=[colour for _, colour in LINES.values()])
    dashes = alt.StrokeDash("line:N", title=None).scale(domain=words, range=[[1, 0], [5, 3]])
    return alt.layer(
        base.mark_line(color=PAPER, strokeWidth=4.5, opacity=0.8).encode(detail=alt.Detail("line:N")),
        base.mark_line(strokeWidth=2).encode(stroke=colours, strokeDash=dashes),
    )
