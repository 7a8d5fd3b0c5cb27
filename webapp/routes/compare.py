"""Comparison of runs, as JSON and as a page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from coreserver.reports.comparison import MAX_RUNS, MIN_RUNS
from webapp.http.api_responses import StrictRoute, problem_responses
from webapp.pages.compare import compare_page
from webapp.problems import FieldError, Invalid, NotFound
from webapp.routes.api_charts import FILES, ChartForm, chart_response, check_form
from webapp.routes.dependencies import ChartsDep, LabDep, parse_run_ids
from webapp.schemas.comparison import Comparison, compare
from webapp.schemas.resources import Id

router = APIRouter(tags=["compare"], route_class=StrictRoute)

Compared = Annotated[
    list[Id],
    Query(
        alias="run", min_length=MIN_RUNS, max_length=MAX_RUNS, description="a run to compare; the first is the baseline"
    ),
]


def _distinct(runs: Compared) -> list[int]:
    if len({*runs}) < len(runs):
        why = "must be different runs"
        raise Invalid(f"run: {why}", errors=[FieldError("run", why)])
    return runs


Distinct = Annotated[list[int], Depends(_distinct)]


@router.get("/api/v1/compare", responses=problem_responses(404, 409))
def compare_runs(lab: LabDep, runs: Distinct) -> Comparison:
    """Compare two to eight runs that have a report: differences of their configs and of their figures."""
    return compare(lab.results.reports(runs))


@router.get(
    "/api/v1/compare/charts/percentiles.{form}", response_class=Response, responses=problem_responses(404, 409) | FILES
)
def get_percentiles(lab: LabDep, charts: ChartsDep, form: ChartForm, runs: Distinct) -> Response:
    """Return a chart of response times by percentile, one line per run; 503 for pictures while a run is in progress."""
    from webapp.charts import compared_percentiles as chart  # Altair takes 0.3 s to import

    check_form(form)
    reports = lab.results.reports(runs)
    if why := chart.missing(reports):
        raise NotFound(why)
    return chart_response(charts, chart.spec(reports), form)


@router.get("/compare", include_in_schema=False, response_class=HTMLResponse)
def show_comparison(request: Request, lab: LabDep) -> HTMLResponse:
    """Show the comparison as a page. Repeated ids count once."""
    chosen = parse_run_ids(
        [text for text in request.query_params.getlist("run") if text], least=MIN_RUNS, most=MAX_RUNS
    )
    page = compare_page(
        lab, chosen, str(request.base_url).rstrip("/"), draw_all=request.query_params.get("timelines") == "all"
    )
    return HTMLResponse(page.html())
