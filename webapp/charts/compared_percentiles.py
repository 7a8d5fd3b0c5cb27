"""Response times of several runs by percentile, one line per run."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np

from coreserver.reports.figure_values import NONE_REACHED, TOO_FEW
from coreserver.reports.schema.definitions import PERCENTILES
from coreserver.reports.schema.report import Report
from webapp import formatting
from webapp.charts.base import ALTAIR, Table
from webapp.charts.histogram import Distribution, decode
from webapp.charts.percentile_rows import LABELS
from webapp.charts.percentiles import HEIGHT, PERCENT_LABEL, POINTS_PER_DOUBLING, SAMPLES_BEYOND
from webapp.charts.spec import finish_spec, named_data, run_title
from webapp.charts.theme import (
    ARRIVAL,
    BACKLOG,
    BLUE,
    INK,
    MIN_MS,
    MS_LABEL,
    QUEUE,
    QUIET,
    SERVED,
    WIDTH,
    Spec,
    log_ticks,
)

TITLE = "Response time by percentile"
COLOURS = (SERVED, ARRIVAL, BLUE, BACKLOG, QUEUE, QUIET, INK, SERVED)
DASHES = ([1, 0], [6, 3], [2, 2], [9, 3, 2, 3], [12, 3], [3, 5], [5, 2, 2, 2, 2, 2], [1, 4])


def missing(reports: Sequence[Report]) -> str:
    """Return why there is no curve at all; empty if at least one run has one."""
    if any(_has_curve(report) for report in reports):
        return ""
    return f"No run has the {2 * SAMPLES_BEYOND} answered messages that a curve needs."


def spec(reports: Sequence[Report]) -> Spec:
    """Return the chart: one line over 1/(1 - q) per run that has enough messages, with logarithmic axes."""
    drawn = [report for report in reports if _has_curve(report)]
    points = [point for report in drawn for point in _points(report)]
    furthest = max(float(point["inverse"]) for point in points)
    times_ms = [float(point["response_ms"]) for point in points]
    runs = [_short(report) for report in drawn]
    with ALTAIR:
        return finish_spec(
            _lines(runs, furthest, log_ticks(min(times_ms), max(times_ms))),
            {"points": points},
            title=TITLE,
            subtitle=[run_title(report) for report in drawn],
            description=summary(reports),
        )


def _lines(runs: Sequence[str], furthest: float, ticks_ms: Sequence[float]) -> alt.Chart:
    x = alt.X("inverse:Q", title="percentile of messages").scale(type="log", nice=False)
    ticks = [1, *(value for value in (2, *(10**k for k in range(1, 8))) if value <= furthest)]
    lines: alt.Chart = (
        named_data("points")
        .properties(width=WIDTH, height=HEIGHT)
        .mark_line(point=alt.OverlayMarkDef(opacity=0, size=80))  # invisible points, one tooltip each
        .encode(
            x=x.axis(values=ticks, labelExpr=PERCENT_LABEL, grid=True),
            y=alt.Y("response_ms:Q", title=None).scale(type="log").axis(labelExpr=MS_LABEL, values=ticks_ms),
            color=alt.Color("run:N", title=None)
            .scale(domain=runs, range=[*COLOURS[: len(runs)]])
            .legend(columns=4, symbolType="stroke"),
            strokeDash=alt.StrokeDash("run:N", title=None).scale(domain=runs, range=[*DASHES[: len(runs)]]),
            tooltip=[alt.Tooltip(f"{name}:N", title=name) for name in ("run", "percentile", "response")],
        )
    )
    return lines


def _short(report: Report) -> str:
    """Return the name in the legend, without the label: a narrow screen has no room, and the page names the runs."""
    return f"run {report.run.id}"


def summary(reports: Sequence[Report]) -> str:
    """Return the median of each run, and which runs have no curve."""
    medians = [
        f"{run_title(report)}: median {formatting.ms(_response(report, 'p50'))}"
        for report in reports
        if _has_curve(report)
    ]
    left_out = [str(report.run.id) for report in reports if not _has_curve(report)]
    without = f" Too few messages for a curve: run {', run '.join(left_out)}." if left_out and medians else ""
    return f"{'; '.join(medians)}.{without}" if medians else missing(reports)


def rows(reports: Sequence[Report]) -> Table:
    """Return one column per run, with each percentile that any run supports and the maximum."""
    known = [name for name in (*PERCENTILES, "max") if any(_response(report, name) is not None for report in reports)]
    return Table(
        ("percentile", *(run_title(report) for report in reports)),
        tuple((LABELS[name], *(_cell(report, name) for report in reports)) for name in known),
    )


def _cell(report: Report, name: str) -> str:
    value = _response(report, name)
    if value is None:
        return TOO_FEW if report.latency.response_ms.count else NONE_REACHED
    return formatting.ms(value)


def _response(report: Report, name: str) -> float | None:
    return report.latency.response_ms.value(name)


def _has_curve(report: Report) -> bool:
    return report.latency.response_ms.count >= 2 * SAMPLES_BEYOND


def _points(report: Report) -> list[dict[str, float | str]]:
    """Return percentiles at even distances on the axis, up to the last one with enough samples above it."""
    found: Distribution = decode([report.histograms.response])
    last = found.total / SAMPLES_BEYOND
    inverse = np.append(2 ** (np.arange(int(np.log2(last) * POINTS_PER_DOUBLING) + 1) / POINTS_PER_DOUBLING), last)
    shares = 1 - 1 / inverse
    times = np.maximum(found.at(shares), MIN_MS).tolist()
    return [
        {
            "run": _short(report),
            "inverse": round(float(place), 6),
            "response_ms": time_ms,
            "percentile": f"{100 * share:.6g} %",
            "response": formatting.ms(time_ms),
        }
        for place, share, time_ms in zip(inverse, shares.tolist(), times, strict=True)
    ]
