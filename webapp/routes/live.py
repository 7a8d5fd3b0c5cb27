"""Live fragments of pages, and the stream of their versions."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse
from pydantic import StringConstraints

from webapp.live.fragments import NAME, fragment_events
from webapp.live.streams import EventStream
from webapp.pages.dashboard import render_recent_runs, render_servers
from webapp.pages.run import render_timeline
from webapp.pages.run_progress import render_progress
from webapp.pages.server import render_minute, render_now
from webapp.routes.dependencies import FragmentsDep, RunId, ServerId, StreamsDep
from webapp.run_drawings import timeline_picture
from webapp.schemas.timeline_part import TimelineQuery

MAX_FRAGMENTS = 500  # of all tabs of a browser

router = APIRouter(prefix="/live", include_in_schema=False, default_response_class=HTMLResponse)

Names = Annotated[
    list[Annotated[str, StringConstraints(pattern=NAME)]],
    Query(alias="fragment", min_length=1, max_length=MAX_FRAGMENTS),
]


def _respond(rendered: tuple[str, str]) -> HTMLResponse:
    version, text = rendered
    return HTMLResponse(text, headers={"ETag": f'"{version}"'})


@router.get("/events", response_class=EventStream)
async def stream_fragments(fragments: FragmentsDep, streams: StreamsDep, names: Names) -> EventStream:
    """Stream the versions of the named fragments (server-sent events), until the lab shuts down."""
    return EventStream(fragment_events(fragments, names), streams)


@router.get("/lab/servers")
def show_servers(fragments: FragmentsDep) -> HTMLResponse:
    """Return the servers on the dashboard."""
    return _respond(fragments.render("lab/servers", "", lambda: render_servers(fragments.lab)))


@router.get("/lab/runs")
def show_recent_runs(fragments: FragmentsDep) -> HTMLResponse:
    """Return the latest runs on the dashboard."""
    return _respond(fragments.render("lab/runs", "", lambda: render_recent_runs(fragments.lab)))


@router.get("/servers/{server_id}/now")
def show_now(fragments: FragmentsDep, server_id: ServerId) -> HTMLResponse:
    """Return a server's connections and workers at this instant."""
    return _respond(fragments.render(f"servers/{server_id}/now", "", lambda: render_now(fragments.lab, server_id)))


@router.get("/servers/{server_id}/minute")
def show_minute(fragments: FragmentsDep, server_id: ServerId) -> HTMLResponse:
    """Return a server's last minute."""
    return _respond(
        fragments.render(f"servers/{server_id}/minute", "", lambda: render_minute(fragments.lab, server_id))
    )


@router.get("/runs/{run_id}/progress")
def show_progress(fragments: FragmentsDep, run_id: RunId) -> HTMLResponse:
    """Return the figures of a run in progress."""
    return _respond(fragments.render(f"runs/{run_id}/progress", "", lambda: render_progress(fragments.lab, run_id)))


@router.get("/runs/{run_id}/timeline")
def show_timeline(fragments: FragmentsDep, run_id: RunId) -> HTMLResponse:
    """Return the timeline of a run in progress."""
    return _respond(fragments.render(f"runs/{run_id}/timeline", "", lambda: render_timeline(fragments.lab, run_id)))


@router.get("/runs/{run_id}/timeline.json", response_class=Response)
def show_timeline_part(fragments: FragmentsDep, run_id: RunId, query: Annotated[TimelineQuery, Query()]) -> Response:
    """Return a part of the timeline as `/api/v1/runs/{run_id}/timeline` does; the time spent on drawing is limited."""

    def draw() -> str:
        return timeline_picture(fragments.lab, run_id, query).model_dump_json()

    _, text = fragments.render(f"runs/{run_id}/timeline", urlencode(query.model_dump()), draw)
    return Response(text, media_type="application/json")
