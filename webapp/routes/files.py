"""Downloads of a run, and the import of its file."""

from __future__ import annotations

import json
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from coreserver.reports.schema.report import ReportFile, json_schema
from webapp.exports.perfetto_trace import trace_file
from webapp.exports.report_json import read_report, write_report
from webapp.exports.standalone_report import report_page
from webapp.http.api_responses import StrictRoute, problem_responses
from webapp.pages.run_list import runs_page
from webapp.problems import Invalid, Problem
from webapp.routes.dependencies import ChartsDep, LabDep, RunId, download
from webapp.schemas.resources import RunFilter, RunResource
from webapp.version import lab_version

router = APIRouter(prefix="/api/v1", tags=["files"], route_class=StrictRoute)
pages = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

SCHEMA_JSON = "application/schema+json"
FILE_FIELD = "file"


def _content(media_type: str, description: str, schema: dict[str, Any] | None = None) -> dict[int | str, Any]:
    return {200: {"description": description, "content": {media_type: {"schema": schema or {"type": "object"}}}}}


# --- downloads --------------------------------------------------------------------------------------------------------


@router.get(
    "/report.schema.json",
    response_class=Response,
    responses=problem_responses() | _content(SCHEMA_JSON, "draft 2020-12"),
)
def get_report_schema() -> Response:
    """Return the JSON Schema of reports, with unit and meaning of every field. It allows no unknown fields."""
    return Response(_schema_text(), media_type=SCHEMA_JSON)


@cache
def _schema_text() -> str:
    return json.dumps(json_schema(), indent=2)


@router.get("/runs/{run_id}/report.json", response_model=ReportFile, responses=problem_responses(404, 409))
def get_report_file(lab: LabDep, run_id: RunId) -> Response:
    """Return the report as a download, including the `bundle` of records that an import restores."""
    report, records = lab.results.export(run_id)
    name = f"run-{run_id}-report.json"
    return StreamingResponse(write_report(report, records), media_type="application/json", headers=download(name))


@router.get(
    "/runs/{run_id}/report.html",
    response_class=HTMLResponse,
    responses=problem_responses(404, 409) | _content("text/html", "one file without scripts", {"type": "string"}),
)
def get_report_page(request: Request, lab: LabDep, charts: ChartsDep, run_id: RunId) -> Response:
    """Return the run as one self-contained page with timeline, charts, tables, settings and recipes.

    While a run is queued or in progress: 503, unless all charts of this run are cached.
    """
    page = report_page(lab, charts, run_id, str(request.base_url).rstrip("/"), lab_version())
    return HTMLResponse(page.html(), headers=download(f"run-{run_id}-report.html"))


@router.get(
    "/runs/{run_id}/trace",
    response_class=StreamingResponse,
    responses=problem_responses(404, 409) | _content("application/json", "Trace Event Format"),
)
def get_trace(lab: LabDep, run_id: RunId) -> Response:
    """Return the run as a trace for Perfetto: one track per connection, one per worker, and counters.

    A large run contains only the first messages of each connection; `otherData` says how many.
    """
    report = lab.results.report(run_id)
    joined, started_ns = lab.results.joined_connections(run_id)
    title = f"Run {run_id}: {report.run.label or report.server.model}"
    pieces = trace_file(title, report, joined, started_ns)
    return StreamingResponse(pieces, media_type="application/json", headers=download(f"run-{run_id}-trace.json"))


# --- import ----------------------------------------------------------------------------------------------------------


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post(
    "/runs/import",
    status_code=201,
    responses=problem_responses(413, 415, 507)
    | {201: {"headers": {"Location": {"description": "address of the run", "schema": {"type": "string"}}}}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{ReportFile.__name__}"}}},
        }
    },
)
def import_run(lab: LabDep, body: Annotated[bytes, Depends(_body)], response: Response) -> RunResource:
    """Import a run from its `report.json`, or from its report alone, without connections.

    The whole file is checked first, and nothing of an invalid file is stored. The run gets a new id and is marked as
    imported.
    """
    run = lab.runs.import_file(read_report(body))
    response.headers["Location"] = run.links["self"]
    return run


async def _uploaded(request: Request) -> bytes | Problem:
    """Return the content of the uploaded file, or a Problem if there is none."""
    try:
        async with request.form(max_files=1, max_fields=1) as form:
            file = form.get(FILE_FIELD)
            if isinstance(file, UploadFile) and (file.filename or file.size):
                return await file.read()
    except HTTPException:
        return Invalid("the form could not be read: it must have one field, the file")
    return Invalid("choose a file: the report.json of a run")


@pages.post("/runs/import")
def import_file(lab: LabDep, uploaded: Annotated[bytes | Problem, Depends(_uploaded)]) -> Response:
    """Import the uploaded file. If that fails, respond with the list of runs and the reason."""
    try:
        if isinstance(uploaded, Problem):
            raise uploaded
        run = lab.runs.import_file(read_report(uploaded))
    except Problem as problem:
        reasons = tuple(f"{error.field}: {error.message}" for error in problem.errors) or (problem.detail,)
        page = runs_page(lab, RunFilter(), {}, {}, import_reasons=reasons)
        return HTMLResponse(page.html(), status_code=problem.status)
    return RedirectResponse(f"/runs/{run.id}", status_code=303)
