"""Health, version, metrics and events of the lab, and the documentation of the API."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from prometheus_client.exposition import choose_encoder

from webapp.http.api_responses import problem_responses
from webapp.live.lab_events import lab_events
from webapp.live.streams import EventStream
from webapp.pages.base import Page
from webapp.routes.dependencies import LabDep, LastEventId, MetricsDep, StreamsDep
from webapp.schemas.resources import Health, Version
from webapp.version import lab_version

router = APIRouter(tags=["lab"])


@dataclass(frozen=True)
class DocsPage(Page):
    """Documentation of the API."""

    template = "docs.html"
    place = "api"

    @property
    def title(self) -> str:
        """The title of the tab."""
        return "REST API"


@router.get("/healthz")
async def get_health() -> Health:
    """Confirm that the lab responds. Uses neither the database nor a thread."""
    return Health()


@router.get("/version")
async def get_version() -> Version:
    """Return the versions of the lab and of Python."""
    return Version(version=lab_version(), python=platform.python_version())


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus text or OpenMetrics, as requested", "content": {"text/plain": {}}}},
)
def get_metrics(request: Request, metrics: MetricsDep) -> Response:
    """Return the metrics of the lab for Prometheus: runs, servers, streams, HTTP requests and the process."""
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(metrics.registry), headers={"Content-Type": media_type})


@router.get(
    "/api/v1/events",
    status_code=200,
    response_class=EventStream,
    responses=problem_responses(429)
    | {200: {"description": "`snapshot`, then `servers` and `runs`", "content": {"text/event-stream": {}}}},
)
async def stream_lab(lab: LabDep, streams: StreamsDep, last_event_id: LastEventId = None) -> EventStream:
    """Stream changes of the lists of servers and runs until the lab stops (server-sent events)."""
    return EventStream(lab_events(lab, last_event_id), streams)


@router.get("/docs", include_in_schema=False)
def show_docs() -> Response:
    """Show the documentation of the API with Swagger UI, from files of this installation."""
    return HTMLResponse(DocsPage().html())
