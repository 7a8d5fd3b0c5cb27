"""The statistical charts of a run: pure functions of its report, as Vega-Lite specs, in words and as tables.

A file a chart, with the functions that `ChartModule` names. Altair takes 0.3 s and 40 MB to import, so a chart's file
is imported when that chart is first asked for.
"""

from __future__ import annotations

from webapp.charts.base import Chart, ChartModule, Table
from webapp.charts.theme import Spec

__all__ = ["CHARTS", "Chart", "ChartModule", "Spec", "Table"]

CHARTS = {
    chart.name: chart
    for chart in (
        Chart("percentiles", "Latency by percentile", "percentiles"),
        Chart("waits", "Where the time went", "waits"),
        Chart("load", "The run over time", "over_time"),
        Chart("heatmap", "Response times over time", "heatmap"),
        Chart("groups", "Groups side by side", "groups"),
    )
}
