"""The statistical charts of a run: pure functions of its report, as Vega-Lite specs, in words and as tables.

A file a chart, with the functions that `ChartModule` names. Altair takes 0.3 s and 40 MB to import, so a chart's file
is imported when that chart is first asked for.
"""

from __future__ import annotations

from webapp.charts.base import Chart, ChartModule, Report, Table
from webapp.charts.theme import Spec

__all__ = ["CHARTS", "Chart", "ChartModule", "Report", "Spec", "Table"]

_TITLES = {
    "percentiles": "Latency by percentile",
    "waits": "Where the time went",
    "load": "The run over time",
    "heatmap": "Response times over time",
    "groups": "Groups side by side",
}
CHARTS = {name: Chart(name, title) for name, title in _TITLES.items()}
