"""A run as one HTML page that opens offline: styles and images are inline, and there is no script."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from markupsafe import Markup

from coreserver.reports.schema.report import Report
from webapp import formatting
from webapp.assets import asset_dir
from webapp.charts import CHARTS
from webapp.charts.rendering.renderer import ChartRenderer
from webapp.charts.theme import DARK
from webapp.lab.lab import Lab
from webapp.pages.base import Page
from webapp.pages.chart_figures import ChartFigure
from webapp.pages.run import RunPage, run_page
from webapp.problems import Problem, Unavailable

SHEETS = ("tokens", "base", "layout", "components", "forms", "words", "timeline", "report")
_ID = re.compile(r'(?<=[\s])id="([^"]+)"')
_REFERENCE = re.compile(r'(url\(|href=")#([^)"]+)')


@dataclass(frozen=True)
class DrawnChart:
    """A chart of the run's page with its image; `missing` is the reason if there is no image."""

    figure: ChartFigure
    svg: Markup
    missing: str = ""


@dataclass(frozen=True)
class ReportPage(Page):
    """Context of the offline page."""

    template = "report.html"

    run: RunPage
    charts: tuple[DrawnChart, ...]
    css: Markup
    version: str
    written: str

    @property
    def title(self) -> str:
        """The title of the browser tab."""
        return f"{self.run.title} (Serverlab report)"


def report_page(lab: Lab, charts: ChartRenderer, run_id: int, base_url: str, version: str) -> ReportPage:
    """Return the offline page of a run that has ended with a report.

    Raises:
        Conflict: the run has not ended.
        NotFound: there is no such run, or it has no report.
        Unavailable: a run is queued or in progress, and not all charts of this one are cached.
    """
    report, run = lab.results.report(run_id), run_page(lab, run_id, base_url)
    return ReportPage(
        run=run,
        charts=tuple(_draw_chart(charts, figure, report) for figure in run.results.charts) if run.results else (),
        css=_style(),
        version=version,
        written=formatting.moment(datetime.now(UTC)),
    )


def _draw_chart(charts: ChartRenderer, figure: ChartFigure, report: Report) -> DrawnChart:
    spec = CHARTS[figure.name].spec(report)
    if spec is None:
        return DrawnChart(figure, Markup(""), missing=figure.summary)
    try:
        svg = prefix_ids(charts.svg(spec), figure.name)
    except Unavailable:
        raise
    except Problem as problem:
        return DrawnChart(figure, Markup(""), missing=f"The chart could not be rendered: {problem.detail}")
    return DrawnChart(figure, Markup(svg))  # noqa: S704 - from the chart process, which escapes texts


def prefix_ids(svg: str, name: str) -> str:
    """Return the image with `name` before each of its ids, so that ids are unique within a page of several images."""
    svg = _ID.sub(lambda found: f'id="{name}-{found[1]}"', svg)
    return _REFERENCE.sub(lambda found: f"{found[1]}#{name}-{found[2]}", svg)


@cache
def _style() -> Markup:
    """Return the styles of the pages, and the colours of the charts in a dark colour scheme."""
    folder = asset_dir("static") / "css"
    sheets = [(folder / f"{name}.css").read_text() for name in SHEETS]
    dark = [
        f'.drawing--chart [{place}="{light}" i] {{ {place}: {on_dark}; }}'
        for light, on_dark in DARK.items()
        for place in ("fill", "stroke")
    ]
    sheets.append("@media (prefers-color-scheme: dark) {\n" + "\n".join(dark) + "\n}")
    return Markup("\n".join(sheets))  # noqa: S704 - files of this installation
