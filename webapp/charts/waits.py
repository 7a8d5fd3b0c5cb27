"""Parts of the time of connections: their means end to end, and below them how much each part varied.

The lateness of the clients is shown separately, because the server does not cause it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import altair as alt

from coreserver.reports.schema.figures import Statistics, Waits
from coreserver.reports.schema.report import Group, Report
from coreserver.reports.vocabulary import span_named
from webapp import formatting
from webapp.charts.base import Table
from webapp.charts.percentile_rows import NAMED_LEFT, names_axis, spread, spread_data, spread_rows
from webapp.charts.spec import AnyChart, Rows, finish_spec, named_data, run_title
from webapp.charts.theme import BACKLOG, BLUE, MS_LABEL, PAPER, QUEUE, QUIET, SERVED, WIDTH, Spec

BAR_HEIGHT = 34
LABELLED_FROM = 0.12  # of the longest bar: room for a figure
WHOLE = "all"
LATENESS = span_named("lateness_ms").label
COLOURS = {"connect_ms": QUIET, "backlog_ms": BACKLOG, "queue_ms": QUEUE, "greeting_ms": BLUE, "session_ms": SERVED}
LABELS = {name: span_named(name).label for name in COLOURS}


def missing(report: Report) -> str:
    """Return why there is nothing to draw."""
    if any(_part(report.waits, part).count for part in LABELS):
        return ""
    return "No connection was made after the warm-up, so there are no waits."


def spec(report: Report, title: str) -> Spec:
    """Return the chart: stacked bars of means per group and for all; below them one row of percentiles per part."""
    bars, parts = list(_bars(report)), _by_part(report)
    drawn = alt.vconcat(_stacked(bars), spread(parts), spacing=34)
    return finish_spec(
        drawn.resolve_scale(color="independent", shape="independent"),
        {"bars": bars, **spread_data(parts)},
        title=title,
        subtitle=[run_title(report), "above: the mean of each part; below: how each part varied"],
        description=summary(report),
        left=NAMED_LEFT,
    )


def summary(report: Report) -> str:
    """Return the mean time, and the share of each large part."""
    means = _means(report.waits)
    total = sum(means.values())
    large = sorted((part for part in means if means[part] >= 0.05 * total), key=lambda part: -means[part])
    shares = ", ".join(f"{100 * means[part] / total:.0f} % {LABELS[part]}" for part in large) if total else ""
    late = report.latency.lateness_ms
    own = f" The mean lateness of the clients was {formatting.ms(late.mean)}." if late.count else ""
    return f"A connection took {formatting.ms(total)} on average" + (f": {shares}." if shares else ".") + own


def rows(report: Report) -> Table:
    """Return every part of the whole run, then of each group if there are several."""
    found = dict(_by_part(report))
    for group in _several(report):
        for part, label in LABELS.items():
            if (statistics := _part(group.waits, part)).count:
                found[f"{group.name}: {label}"] = statistics
    return spread_rows("part", found)


def _several(report: Report) -> list[Group]:
    """Return the groups with connections after the warm-up, if there are several groups."""
    return [group for group in report.groups if len(report.groups) > 1 and group.waits.connect_ms.count]


def _part(waits: Waits, name: str) -> Statistics:
    part: Statistics = getattr(waits, name)
    return part


def _means(waits: Waits) -> dict[str, float]:
    return {part: _part(waits, part).mean or 0.0 for part in LABELS}


def _by_part(report: Report) -> dict[str, Statistics]:
    """Return the parts of the whole run that any connection reached, and the lateness."""
    parts = {label: _part(report.waits, part) for part, label in LABELS.items()}
    found = {**parts, LATENESS: report.latency.lateness_ms}
    return {label: statistics for label, statistics in found.items() if statistics.count}


def _stacked(bars: Rows) -> AnyChart:
    names = list(dict.fromkeys(bar["name"] for bar in bars))
    base = named_data("bars").properties(width=WIDTH, height=BAR_HEIGHT * len(names)).encode(y=names_axis(names))
    x = alt.X("from_ms:Q", title=None).axis(labelExpr=MS_LABEL, grid=True)
    return alt.layer(
        base.mark_bar(height=BAR_HEIGHT * 0.62, stroke=PAPER, strokeWidth=1).encode(
            x=x,
            x2=alt.X2("to_ms:Q"),
            color=alt.Color("part:N", title=None).scale(domain=[*LABELS.values()], range=[*COLOURS.values()]),
            tooltip=[alt.Tooltip(f"{name}:N", title=name) for name in ("name", "part", "mean")],
        ),
        base.transform_filter("datum.is_wide")
        .mark_text(color=PAPER, fontWeight=600)
        .encode(x=alt.X("middle_ms:Q"), text=alt.Text("mean:N")),
    )


def _bars(report: Report) -> Iterator[dict[str, Any]]:
    """Yield one piece of a bar per part, end to end."""
    found = {WHOLE: report.waits, **{group.name: group.waits for group in _several(report)}}
    longest = max(sum(_means(waits).values()) for waits in found.values())
    for name, waits in found.items():
        means = _means(waits)
        ends = list(accumulate(means.values()))
        for (part, mean), end in zip(means.items(), ends, strict=True):
            yield {
                "name": name,
                "part": LABELS[part],
                "from_ms": end - mean,
                "to_ms": end,
                "middle_ms": end - mean / 2,
                "mean": formatting.ms(mean),
                "is_wide": mean > LABELLED_FROM * longest,
            }
