"""Latency by percentile on the axis of the HdrHistogram plotter, which enlarges the slow messages.

Response time and round trip are shown together. They differ if messages waited before they were sent, which a
measurement of round trips alone does not show (coordinated omission).
"""

from __future__ import annotations

import altair as alt
import numpy as np

from coreserver.reports.schema.definitions import PERCENTILES
from coreserver.reports.schema.report import Report
from coreserver.reports.vocabulary import span_named
from webapp import formatting
from webapp.charts.base import Table
from webapp.charts.histogram import decode
from webapp.charts.percentile_rows import LABELS
from webapp.charts.spec import Pointer, finish_spec, named_data, run_title
from webapp.charts.theme import ARRIVAL, MIN_MS, MS_LABEL, SERVED, WIDTH, Spec, log_ticks, positive
from webapp.formatting import NARROW

HEIGHT = 300
RESPONSE, ROUND_TRIP = span_named("response_ms").label, span_named("round_trip_ms").label
SAMPLES_BEYOND = 10  # a percentile is drawn if at least this many samples lie above it
POINTS_PER_DOUBLING = 10
PERCENT_LABEL = "format(100 * (1 - 1 / datum.value), '.6~f') + ' %'"


def missing(report: Report) -> str:
    """Return why there is no curve."""
    count, least = report.latency.response_ms.count, 2 * SAMPLES_BEYOND
    if count >= least:
        return ""
    if not count:
        return "No message was answered after the warm-up, so there is no latency to draw."
    return f"{formatting.count(count)} answered messages are too few for a curve: the median alone needs {least}."


def spec(report: Report, title: str) -> Spec:
    """Return the chart: two lines over 1/(1 - q), logarithmic; a rule with both values follows the pointer."""
    pointer = Pointer("inverse", {"percentile": "percentile", "response": RESPONSE, "round_trip": ROUND_TRIP})
    points = _points(report)
    base = named_data("points").properties(width=WIDTH, height=HEIGHT)
    ticks = [1, *(value for value in (2, *(10**k for k in range(1, 8))) if value <= points[-1]["inverse"])]
    x = alt.X("inverse:Q", title="percentile of messages").scale(type="log", nice=False)
    x = x.axis(values=ticks, labelExpr=PERCENT_LABEL, grid=True)
    low_ms, high_ms = report.latency.round_trip_ms.min or 0.0, report.latency.response_ms.max or 0.0
    y = alt.Y("response_ms:Q", title=None).scale(type="log")
    y = y.axis(labelExpr=MS_LABEL, values=log_ticks(positive(low_ms), high_ms))
    between = base.mark_area(color=SERVED, opacity=0.12).encode(x=x, y=y, y2=alt.Y2("round_trip_ms:Q"))
    return finish_spec(
        alt.layer(between, _lines(base, x), *pointer.rule(base, x)),
        {"points": pointer.strips(points)},
        title=title,
        subtitle=run_title(report),
        description=summary(report),
        pointer=pointer,
    )


def _lines(base: alt.Chart, x: alt.X) -> alt.Chart:
    """Return one line per latency; dashes distinguish them without colours."""
    both = [RESPONSE, ROUND_TRIP]
    lines: alt.Chart = (
        base.transform_fold(["response_ms", "round_trip_ms"], as_=["field", "ms"])
        .transform_calculate(kind=f"datum.field == 'response_ms' ? '{RESPONSE}' : '{ROUND_TRIP}'")
        .mark_line()
        .encode(
            x=x,
            y=alt.Y("ms:Q", title=None),
            color=alt.Color("kind:N", title=None).scale(domain=both, range=[SERVED, ARRIVAL]),
            strokeDash=alt.StrokeDash("kind:N", title=None).scale(domain=both, range=[[1, 0], [6, 3]]),
        )
    )
    return lines


def summary(report: Report) -> str:
    """Return the median and the highest known percentile of both latencies."""
    response, round_trip = report.latency.response_ms, report.latency.round_trip_ms
    last = [name for name in PERCENTILES if response.value(name) is not None][-1]
    tail = "" if last == "p50" else f", {LABELS[last]} within {formatting.ms(response.value(last))}"
    round_trip_tail = "" if last == "p50" else f", {LABELS[last]} {formatting.ms(round_trip.value(last))}"
    return (
        f"Half of {formatting.count(response.count)} messages were answered within "
        f"{formatting.ms(response.p50)} of the time when they were due{tail}; "
        f"the median of their round trips was {formatting.ms(round_trip.p50)}{round_trip_tail}."
    )


def rows(report: Report) -> Table:
    """Return both latencies at the percentiles that the count supports, and their maximum."""
    response, round_trip = report.latency.response_ms, report.latency.round_trip_ms
    known = [name for name in PERCENTILES if response.value(name) is not None]
    labels = {name: LABELS[name] for name in (*known, "max")}
    return Table(
        ("percentile", RESPONSE, ROUND_TRIP),
        tuple(
            (word, formatting.ms(response.value(name)), formatting.ms(round_trip.value(name)))
            for name, word in labels.items()
        ),
    )


def _points(report: Report) -> list[dict[str, float | str]]:
    """Return percentiles at even distances on the axis, up to the last one with enough samples above it."""
    histograms = report.histograms
    response, round_trip = decode([histograms.response]), decode([histograms.round_trip])
    last = response.total / SAMPLES_BEYOND
    steps = 2 ** (np.arange(int(np.log2(last) * POINTS_PER_DOUBLING) + 1) / POINTS_PER_DOUBLING)
    decades = 10.0 ** np.arange(1, int(np.log10(last)) + 1)
    inverse = np.unique(np.concatenate([steps, decades, [last]]))
    shares = 1 - 1 / inverse
    return [
        {
            "inverse": round(float(place), 6),
            "response_ms": float(due),
            "round_trip_ms": float(sent),
            "percentile": f"{100 * share:.6g}{NARROW}%",
            "response": formatting.ms(due),
            "round_trip": formatting.ms(sent),
        }
        for place, share, due, sent in zip(
            inverse,
            shares.tolist(),
            np.maximum(response.at(shares), MIN_MS).tolist(),
            np.maximum(round_trip.at(shares), MIN_MS).tolist(),
            strict=True,
        )
    ]
