"""Charts and drawings of a run as files, and the script that draws charts in pages."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from webapp.charts import CHARTS
from webapp.charts.rendering.renderer import ChartRenderer
from webapp.charts.rendering.vega_version import BUNDLE_PATH
from webapp.exports.row_streams import json_list
from webapp.http.api_responses import StrictRoute, problem_responses
from webapp.lab.lab import Lab
from webapp.problems import NotFound
from webapp.routes.dependencies import ChartsDep, LabDep, RunId
from webapp.run_drawings import lanes_svg, timeline_svg
from webapp.schemas.timeline_part import TimelineQuery
from webapp.timeline.plain_css import on_paper

router = APIRouter(tags=["charts"], route_class=StrictRoute)

SVG, PNG = "image/svg+xml", "image/png"
DRAWINGS = ("timeline", "lanes")
FORMS = ("svg", "png", "json")
ROW = ("name", "group", "due_s", "connected_s", "accepted_s", "started_s", "finished_s", "outcome", "worker")
_NAMES = ", ".join((*DRAWINGS, *CHARTS))

ChartName = Annotated[str, Path(max_length=40, description=f"name of the chart: {_NAMES}")]
ChartForm = Annotated[str, Path(max_length=10, description="svg, png or json (Vega-Lite spec, or rows of a drawing)")]
FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the picture or its data",
        "content": {
            SVG: {"schema": {"type": "string"}},
            PNG: {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": {}},
        },
    }
}


@router.get(
    "/api/v1/runs/{run_id}/charts/timeline.{form}", response_class=Response, responses=problem_responses(404) | FILES
)
def get_timeline(
    lab: LabDep, charts: ChartsDep, run_id: RunId, form: ChartForm, query: Annotated[TimelineQuery, Query()]
) -> Response:
    """Return the timeline: when each client arrived, waited and was served. A run in progress is drawn up to now."""
    return _drawing(lab, charts, run_id, form, lambda: timeline_svg(lab, run_id, query))


@router.get(
    "/api/v1/runs/{run_id}/charts/lanes.{form}", response_class=Response, responses=problem_responses(404) | FILES
)
def get_lanes(
    lab: LabDep, charts: ChartsDep, run_id: RunId, form: ChartForm, query: Annotated[TimelineQuery, Query()]
) -> Response:
    """Return the worker lanes: which connections each worker served, and when."""
    return _drawing(lab, charts, run_id, form, lambda: lanes_svg(lab, run_id, query))


@router.get(
    "/api/v1/runs/{run_id}/charts/{name}.{form}", response_class=Response, responses=problem_responses(404, 409) | FILES
)
def get_chart(lab: LabDep, charts: ChartsDep, run_id: RunId, name: ChartName, form: ChartForm) -> Response:
    """Return a chart of a run that has ended.

    While a run is queued or in progress, pictures that are not cached are refused with 503.
    """
    check_form(form)
    if name not in CHARTS:
        raise NotFound(f"there is no such chart; the charts are {_NAMES}")
    report = lab.results.report(run_id)
    spec = CHARTS[name].spec(report)
    if spec is None:
        raise NotFound(CHARTS[name].missing(report))
    return chart_response(charts, spec, form)


def chart_response(charts: ChartRenderer, spec: dict[str, Any], form: str) -> Response:
    """Return a Vega-Lite spec in the requested form."""
    match form:
        case "svg":
            return Response(charts.svg(spec), media_type=SVG)
        case "png":
            return Response(charts.png(spec), media_type=PNG)
    return Response(json.dumps(spec, separators=(",", ":")), media_type="application/json")


def check_form(form: str) -> None:
    """Raise NotFound if charts are not available in this form."""
    if form not in FORMS:
        raise NotFound(f"there is no such format; a chart is available as {', '.join(FORMS)}")


def _drawing(lab: Lab, charts: ChartRenderer, run_id: int, form: str, draw: Callable[[], str]) -> Response:
    check_form(form)
    if form == "json":
        rows = [{name: getattr(row, name) for name in ROW} for row in lab.runs.timeline(run_id)[0]]
        return StreamingResponse(json_list("rows", rows), media_type="application/json")
    if form == "svg":
        return Response(draw(), media_type=SVG)
    return Response(charts.png_of_svg(on_paper(draw())), media_type=PNG)


@router.get(BUNDLE_PATH, include_in_schema=False)
def get_bundle(request: Request, charts: ChartsDep) -> Response:
    """Return the script that draws Vega-Lite specs in a page. Its address contains its version."""
    packed = charts.bundle()
    headers = {"Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type="text/javascript", headers={**headers, "Content-Encoding": "gzip"})
    return Response(gzip.decompress(packed), media_type="text/javascript", headers=headers)
