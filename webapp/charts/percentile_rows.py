"""Distributions one below the other: a line from minimum to maximum with one sign per percentile."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt

from coreserver.reports.schema.figures import Statistics
from coreserver.reports.vocabulary import DURATIONS, STATISTICS
from webapp import formatting
from webapp.charts.base import Table
from webapp.charts.spec import AnyChart, Rows, named_data
from webapp.charts.theme import BLUE, EMBER, INK, MS_LABEL, QUEUE, SERVED, SOFT, WIDTH, log_ticks, positive

ROW_HEIGHT = 30
NAMED_LEFT = 122  # pixels left of a plot whose rows have names

# The shape and the colour of each statistic.
SIGNS = {
    "p50": ("circle", SERVED),
    "p90": ("diamond", BLUE),
    "p99": ("triangle-up", QUEUE),
    "p99_9": ("square", EMBER),
    "max": ("cross", INK),
}
LABELS = {name: label for name, (label, _) in STATISTICS.items()}


def names_axis(names: list[str]) -> alt.Y:
    """Return an axis with one row per name; long names are truncated."""
    y = alt.Y("name:N", title=None).scale(domain=names)
    return y.axis(
        labelLimit=NAMED_LEFT - 14,
        labelFontSize=12,
        minExtent=NAMED_LEFT - 6,
        maxExtent=NAMED_LEFT - 6,
        grid=False,
    )


def spread(found: Mapping[str, Statistics]) -> AnyChart:
    """Return the chart: one row per name over a logarithmic time axis."""
    lowest, highest = min(s.min or 0.0 for s in found.values()), max(s.max or 0.0 for s in found.values())
    y, x = names_axis(list(found)), alt.X("ms:Q", title=None).scale(type="log")
    x = x.axis(labelExpr=MS_LABEL, grid=True, values=log_ticks(positive(lowest), highest))
    shapes, colours = zip(*SIGNS.values(), strict=True)
    labels = [LABELS[name] for name in SIGNS]
    height = ROW_HEIGHT * len(found)
    return alt.layer(
        named_data("spans")
        .properties(width=WIDTH, height=height)
        .mark_rule(color=SOFT, strokeWidth=1.5)
        .encode(x=x, x2=alt.X2("to_ms:Q"), y=y),
        named_data("signs")
        .properties(width=WIDTH, height=height)
        .mark_point(filled=True, size=90, opacity=1, strokeWidth=2)
        .encode(
            x=alt.X("ms:Q"),
            y=y,
            color=alt.Color("figure:N", title=None).scale(domain=labels, range=list(colours)),
            shape=alt.Shape("figure:N", title=None).scale(domain=labels, range=list(shapes)),
            tooltip=[alt.Tooltip(f"{name}:N", title=name) for name in ("name", "figure", "time")],
        ),
    )


def spread_rows(first: str, found: Mapping[str, Statistics]) -> Table:
    """Return the same figures as a table with this name of the first column."""
    return Table(
        (first, *LABELS.values()),
        tuple(
            (
                name,
                formatting.count(statistics.count),
                *(formatting.ms(statistics.value(figure)) for figure in DURATIONS),
            )
            for name, statistics in found.items()
        ),
    )


def spread_data(found: Mapping[str, Statistics]) -> dict[str, Rows]:
    """Return the data of the chart."""
    spans = [
        {"name": name, "ms": positive(statistics.min or 0.0), "to_ms": positive(statistics.max or 0.0)}
        for name, statistics in found.items()
    ]
    signs = [
        {"name": name, "figure": LABELS[figure], "ms": positive(value), "time": formatting.ms(value)}
        for name, statistics in found.items()
        for figure in SIGNS
        if (value := statistics.value(figure)) is not None
    ]
    return {"spans": spans, "signs": signs}
