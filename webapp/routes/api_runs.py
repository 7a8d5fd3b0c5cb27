"""`/api/v1/runs`: create, list, read, edit, cancel and delete runs, and read their results."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from coreserver.reports.hdr_histograms import percentile_text
from coreserver.reports.schema.report import Report
from webapp.exports.row_streams import csv_table, json_list
from webapp.http.api_responses import StrictRoute, problem_responses
from webapp.lab.change_feed import run_topic
from webapp.lab.lab import Lab
from webapp.live.run_events import run_events
from webapp.live.streams import EventStream
from webapp.routes.dependencies import LabDep, LastEventId, RunId, StreamsDep, download
from webapp.run_drawings import timeline_picture
from webapp.schemas.resources import ConnectionList, ConnectionRow, NoOptions, RunFilter, RunList, RunPatch, RunResource
from webapp.schemas.run_spec import RunSpec
from webapp.schemas.timeline_part import TimelinePicture, TimelineQuery

router = APIRouter(prefix="/api/v1", tags=["runs"], route_class=StrictRoute)

WaitS = Annotated[float, Query(ge=0, le=600, allow_inf_nan=False, description="seconds to wait for the end of the run")]
Distribution = Annotated[Literal["response", "round_trip"], Query(description="latency of the histogram")]
_LOCATION = {"headers": {"Location": {"description": "address of the run", "schema": {"type": "string"}}}}


def _of_type(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": description, "content": {media_type: {"schema": {"type": "string"}}}}}


# --- runs -----------------------------------------------------------------------------------------------------------


@router.post(
    "/runs",
    status_code=202,
    responses=problem_responses(404, 409, 413, 415, 429, 507)
    | {
        202: {"description": "queued, or not ended within `wait_s`", **_LOCATION},
        200: {"description": "ended within `wait_s`", "model": RunResource, **_LOCATION},
    },
)
async def create_run(lab: LabDep, spec: RunSpec, response: Response, wait_s: WaitS = 0.0) -> RunResource:
    """Run clients against a server. Runs execute one at a time; the others are queued."""
    run = await run_in_threadpool(lab.runs.create, spec)
    run = await _wait(lab, run, wait_s)
    response.headers["Location"] = run.links["self"]
    response.status_code = 200 if run.is_over else 202
    return run


async def _wait(lab: Lab, run: RunResource, wait_s: float) -> RunResource:
    """Return the run at its end, or after `wait_s`; no thread blocks meanwhile."""
    deadline = time.monotonic() + wait_s
    while not run.is_over and not lab.feed.is_closed and (left_s := deadline - time.monotonic()) > 0:
        version = lab.feed.version(run_topic(run.id))
        run = await run_in_threadpool(lab.runs.get, run.id)
        if not run.is_over:
            await lab.feed.wait([run_topic(run.id)], version, left_s)
    return run


@router.get("/runs", responses=problem_responses())
def list_runs(lab: LabDep, which: Annotated[RunFilter, Query()]) -> RunList:
    """Return one page of runs, by default newest first."""
    return lab.runs.find(which)


@router.get("/runs/{run_id}", responses=problem_responses(404))
def get_run(lab: LabDep, run_id: RunId) -> RunResource:
    """Return one run as it is now."""
    return lab.runs.get(run_id)


@router.patch("/runs/{run_id}", responses=problem_responses(404, 413, 415, 507))
def patch_run(lab: LabDep, run_id: RunId, patch: RunPatch) -> RunResource:
    """Change the label or the note of a run."""
    return lab.runs.edit(run_id, patch)


@router.post("/runs/{run_id}/cancel", responses=problem_responses(404, 413, 415))
def cancel_run(lab: LabDep, run_id: RunId, options: NoOptions | None = None) -> RunResource:
    """Cancel a run and keep its records. A run in progress ends after the response. No effect on an ended run."""
    return lab.runs.cancel(run_id)


@router.delete("/runs/{run_id}", status_code=204, responses=problem_responses(404, 409, 507))
def delete_run(lab: LabDep, run_id: RunId) -> None:
    """Delete a run that has ended, with all its records."""
    lab.runs.delete(run_id)


@router.get(
    "/runs/{run_id}/events",
    status_code=200,
    response_class=EventStream,
    responses=problem_responses(404, 429) | _of_type("text/event-stream", "`snapshot`, then `run`, then `end`"),
)
async def stream_run(lab: LabDep, streams: StreamsDep, run_id: RunId, last_event_id: LastEventId = None) -> EventStream:
    """Stream the progress of a run until its end (server-sent events)."""
    await run_in_threadpool(lab.runs.get, run_id)
    return EventStream(run_events(lab, run_id, last_event_id), streams)


# --- results ----------------------------------------------------------------------------------------------------------


@router.get("/runs/{run_id}/report", response_model=Report, responses=problem_responses(404, 409))
def get_report(lab: LabDep, run_id: RunId) -> Response:
    """Return the report: verdict, totals, latency, waits, groups, series, histograms, server and environment.

    Its JSON Schema is at `/api/v1/report.schema.json`. The report of an imported run is unchanged, so its `run.id` is
    the id in the lab that made it.
    """
    return Response(lab.results.original_report(run_id).model_dump_json(), media_type="application/json")


@router.get("/runs/{run_id}/connections", response_model=ConnectionList, responses=problem_responses(404, 409))
@router.get("/runs/{run_id}/connections.json", include_in_schema=False)
def get_connections(lab: LabDep, run_id: RunId) -> Response:
    """Return all connections of the run; also available as `connections.csv`."""
    return StreamingResponse(json_list("connections", lab.results.connections(run_id)), media_type="application/json")


@router.get(
    "/runs/{run_id}/connections.csv",
    response_class=PlainTextResponse,
    responses=problem_responses(404, 409) | _of_type("text/csv", "a header line and one line per connection"),
)
def get_connections_csv(lab: LabDep, run_id: RunId) -> Response:
    """Return all connections of the run as CSV."""
    table = csv_table(list(ConnectionRow.model_fields), lab.results.connections(run_id))
    name = f"run-{run_id}-connections.csv"
    return StreamingResponse(table, media_type="text/csv", headers=download(name))


@router.get("/runs/{run_id}/log", response_class=PlainTextResponse, responses=problem_responses(404, 409))
def get_log(lab: LabDep, run_id: RunId) -> str:
    """Return the clients' log in the article's format, with the recorded times."""
    return lab.results.log(run_id)


@router.get("/runs/{run_id}/histogram", response_class=PlainTextResponse, responses=problem_responses(404, 409))
def get_histogram(lab: LabDep, run_id: RunId, of: Distribution = "response") -> str:
    """Return percentiles of response times or round trips in milliseconds, in the format of HdrHistogram."""
    histograms = lab.results.report(run_id).histograms
    return percentile_text(histograms.response if of == "response" else histograms.round_trip)


@router.get("/runs/{run_id}/timeline", responses=problem_responses(404))
def explore_timeline(lab: LabDep, run_id: RunId, query: Annotated[TimelineQuery, Query()]) -> TimelinePicture:
    """Return the timeline or a part of it: positions and times of the connections, and the drawing for a page."""
    return timeline_picture(lab, run_id, query)


@router.get("/runs/{run_id}/lanes", responses=problem_responses(404))
def explore_lanes(lab: LabDep, run_id: RunId, query: Annotated[TimelineQuery, Query()]) -> TimelinePicture:
    """Return the worker lanes; otherwise the same as the timeline."""
    return timeline_picture(lab, run_id, query, lanes=True)
