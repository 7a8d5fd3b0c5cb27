"""The charts on the page of a run: each with a summary, downloads and a table."""

from __future__ import annotations

from dataclasses import dataclass

from coreserver.reports.schema.report import Report
from webapp.charts import CHARTS


@dataclass(frozen=True)
class ChartFigure:
    """One chart; if there is nothing to draw, `url` is empty and `summary` gives the reason.

    `files` contains the format and the URL of each download.
    """

    name: str
    title: str
    summary: str
    url: str
    files: tuple[tuple[str, str], ...]
    file_name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def chart_figures(run_id: int, report: Report) -> tuple[ChartFigure, ...]:
    """Return all charts of a report."""
    return tuple(_figure(run_id, name, report) for name in CHARTS)


def _figure(run_id: int, name: str, report: Report) -> ChartFigure:
    chart = CHARTS[name]
    table = chart.rows(report)
    path = "" if chart.missing(report) else f"/api/v1/runs/{run_id}/charts/{name}"
    return ChartFigure(
        name=name,
        title=chart.title,
        summary=chart.summary(report),
        url=path and f"{path}.json",
        files=tuple((form.upper(), f"{path}.{form}") for form in ("svg", "png")) if path else (),
        file_name=f"run-{run_id}-{name}",
        columns=table.columns,
        rows=table.rows,
    )
