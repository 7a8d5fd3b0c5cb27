"""`/api/v1/runs`: start one, watch it, read what came of it."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from coreserver.reports.hdr_histograms import percentile_text
from coreserver.reports.schema import Report
from webapp.exports.row_streams import csv_table, json_list
from webapp.http.api_responses import StrictRoute, documented
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

WaitS = Annotated[float, Query(ge=0, le=600, allow_inf_nan=False, description="wait so long for its end, seconds")]
Distribution = Annotated[Literal["response", "round_trip"], Query(description="which of the two latencies")]
_LOCATION = {"headers": {"Location": {"description": "the run's address", "schema": {"type": "string"}}}}


def _of_type(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": description, "content": {media_type: {"schema": {"type": "string"}}}}}


# --- a run and its life ----------------------------------------------------------------------------------------------


@router.post(
    "/runs",
    status_code=202,
    responses=documented(404, 409, 413, 415, 429, 507)
    | {
        202: {"description": "queued, or not over yet", **_LOCATION},
        200: {"description": "over within `wait_s`", "model": RunResource, **_LOCATION},
    },
)
async def create_run(lab: LabDep, spec: RunSpec, response: Response, wait_s: WaitS = 0.0) -> RunResource:
    """Send clients at a server. One run is carried out at a time; the others wait their turn."""
    run = await run_in_threadpool(lab.runs.create, spec)
    run = await _when_over(lab, run, wait_s)
    response.headers["Location"] = run.links["self"]
    response.status_code = 200 if run.is_over else 202
    return run


async def _when_over(lab: Lab, run: RunResource, wait_s: float) -> RunResource:
    """The run when it has ended or the time is over; no thread waits for it."""
    deadline = time.monotonic() + wait_s
    while not run.is_over and not lab.feed.is_closed and (left_s := deadline - time.monotonic()) > 0:
        version = lab.feed.version(run_topic(run.id))
        run = await run_in_threadpool(lab.runs.get, run.id)
        if not run.is_over:
            await lab.feed.wait([run_topic(run.id)], version, left_s)
    return run


@router.get("/runs", responses=documented())
def list_runs(lab: LabDep, which: Annotated[RunFilter, Query()]) -> RunList:
    """One page of runs, newest first unless `sort` says otherwise."""
    return lab.runs.find(which)


@router.get("/runs/{run_id}", responses=documented(404))
def get_run(lab: LabDep, run_id: RunId) -> RunResource:
    """One run as it is now."""
    return lab.runs.get(run_id)


@router.patch("/runs/{run_id}", responses=documented(404, 413, 415, 507))
def patch_run(lab: LabDep, run_id: RunId, patch: RunPatch) -> RunResource:
    """Change a run's label or note."""
    return lab.runs.edit(run_id, patch)


@router.post("/runs/{run_id}/cancel", responses=documented(404, 413, 415))
def cancel_run(lab: LabDep, run_id: RunId, options: NoOptions | None = None) -> RunResource:
    """End a run soon and keep what it has gathered; cancelling one that is over does nothing."""
    return lab.runs.cancel(run_id)


@router.delete("/runs/{run_id}", status_code=204, responses=documented(404, 409, 507))
def delete_run(lab: LabDep, run_id: RunId) -> None:
    """Forget a run that is over, with all its records."""
    lab.runs.delete(run_id)


@router.get(
    "/runs/{run_id}/events",
    status_code=200,
    response_class=EventStream,
    responses=documented(404, 429) | _of_type("text/event-stream", "`snapshot`, then `run`, then `end`"),
)
async def stream_run(lab: LabDep, streams: StreamsDep, run_id: RunId, last_event_id: LastEventId = None) -> EventStream:
    """The run as it goes on (server-sent events), until its end."""
    await run_in_threadpool(lab.runs.get, run_id)
    return EventStream(run_events(lab, run_id, last_event_id), streams)


# --- what came of it -------------------------------------------------------------------------------------------------


@router.get("/runs/{run_id}/report", response_model=Report, responses=documented(404, 409))
def get_report(lab: LabDep, run_id: RunId) -> Response:
    """The report: verdict, totals, latency, waits, groups, series, histograms, server and environment.

    Its JSON Schema is at `/api/v1/report.schema.json`. An imported run's is word for word what it was, so that its
    `run.id` is the one that it had where it was made.
    """
    return Response(lab.results.original_report(run_id).model_dump_json(), media_type="application/json")


@router.get("/runs/{run_id}/connections", response_model=ConnectionList, responses=documented(404, 409))
@router.get("/runs/{run_id}/connections.json", include_in_schema=False)
def get_connections(lab: LabDep, run_id: RunId) -> Response:
    """Every connection of the run; `.csv` after the address gives the same as a table."""
    return StreamingResponse(json_list("connections", lab.results.connections(run_id)), media_type="application/json")


@router.get(
    "/runs/{run_id}/connections.csv",
    response_class=PlainTextResponse,
    responses=documented(404, 409) | _of_type("text/csv", "a header line, then a line a connection"),
)
def get_connections_csv(lab: LabDep, run_id: RunId) -> Response:
    """Every connection of the run as a table."""
    table = csv_table(list(ConnectionRow.model_fields), lab.results.connections(run_id))
    name = f"run-{run_id}-connections.csv"
    return StreamingResponse(table, media_type="text/csv", headers=download(name))


@router.get("/runs/{run_id}/log", response_class=PlainTextResponse, responses=documented(404, 409))
def get_log(lab: LabDep, run_id: RunId) -> str:
    """The clients' log in the article's format, from the times things really happened."""
    return lab.results.log(run_id)


@router.get("/runs/{run_id}/histogram", response_class=PlainTextResponse, responses=documented(404, 409))
def get_histogram(lab: LabDep, run_id: RunId, of: Distribution = "response") -> str:
    """Percentiles of response times or round trips in milliseconds, as the public HdrHistogram plotter opens them."""
    histograms = lab.results.report(run_id).histograms
    return percentile_text(histograms.response if of == "response" else histograms.round_trip)


@router.get("/runs/{run_id}/timeline", responses=documented(404))
def explore_timeline(lab: LabDep, run_id: RunId, query: Annotated[TimelineQuery, Query()]) -> TimelinePicture:
    """The timeline or a part of it: where each connection is, the parts of its time, and the drawing for a page."""
    return timeline_picture(lab, run_id, query)


@router.get("/runs/{run_id}/lanes", responses=documented(404))
def explore_lanes(lab: LabDep, run_id: RunId, query: Annotated[TimelineQuery, Query()]) -> TimelinePicture:
    """The same of the worker lanes."""
    return timeline_picture(lab, run_id, query, lanes=True)
