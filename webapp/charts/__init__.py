"""Statistical charts of a run: pure functions of its report that return a Vega-Lite spec, a sentence and a table.

One module per chart, with the functions of `ChartModule`. Altair takes 0.3 s and 40 MB to import, so the module of a
chart is imported on first use.
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
