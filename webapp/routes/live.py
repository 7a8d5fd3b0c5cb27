"""Live fragments of pages, the stream of their versions, and the parts of a timeline while its run is in progress."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse
from pydantic import StringConstraints
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from webapp.http.api_responses import problem_response, to_problem
from webapp.lab.lab import Lab
from webapp.live.fragments import NAME, LiveFragments, fragment_events
from webapp.live.streams import EventStream
from webapp.pages.dashboard import render_recent_runs, render_servers
from webapp.pages.run import render_timeline
from webapp.pages.run_progress import render_progress
from webapp.pages.server import render_minute, render_now
from webapp.problems import Invalid, NotFound
from webapp.routes.dependencies import FragmentsDep, RunId, StreamsDep
from webapp.run_drawings import timeline_picture
from webapp.schemas.timeline_part import TimelineQuery

PATH = "/live/fragments"
MAX_FRAGMENTS = 500  # of all tabs of a browser
MAX_AT_ONCE = 20  # fragments of one page

router = APIRouter(prefix="/live", include_in_schema=False, default_response_class=HTMLResponse)

Names = Annotated[
    list[Annotated[str, StringConstraints(pattern=NAME)]],
    Query(alias="fragment", min_length=1, max_length=MAX_FRAGMENTS),
]


@router.get("/events", response_class=EventStream)
async def stream_fragments(fragments: FragmentsDep, streams: StreamsDep, names: Names) -> EventStream:
    """Stream the versions of the named fragments (server-sent events), until the lab shuts down."""
    return EventStream(fragment_events(fragments, names), streams)


@router.get("/runs/{run_id}/timeline.json", response_class=Response)
def show_timeline_part(fragments: FragmentsDep, run_id: RunId, query: Annotated[TimelineQuery, Query()]) -> Response:
    """Return a part of the timeline as `/api/v1/runs/{run_id}/timeline` does; the time spent on drawing is limited."""

    def draw() -> str:
        return timeline_picture(fragments.lab, run_id, query).model_dump_json()

    _, text = fragments.render(f"runs/{run_id}/timeline", urlencode(query.model_dump()), draw)
    return Response(text, media_type="application/json")


# --- the fragments themselves ----------------------------------------------------------------------------------------

RENDERERS: dict[str, Callable[[Lab, int], str]] = {
    "lab/servers": lambda lab, _: render_servers(lab),
    "lab/runs": lambda lab, _: render_recent_runs(lab),
    "servers/now": render_now,
    "servers/minute": render_minute,
    "runs/progress": render_progress,
    "runs/timeline": render_timeline,
}


@dataclass(frozen=True, slots=True)
class _Route:
    """What the counter of requests reads from the scope."""

    path: str = PATH


@dataclass(frozen=True, slots=True)
class FragmentRequests:
    """ASGI middleware that answers `GET /live/fragments?fragment=…`: all fragments of a page that have changed.

    The response is JSON: version and HTML by name, without those whose server or run was deleted. An open page sends
    several such requests per second; passing them through the router and its middleware would double their CPU time.
    """

    app: ASGIApp
    fragments: LiveFragments

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        scope["route"] = _Route()
        try:
            names = _parse_names(scope["query_string"].decode("latin-1"))
            body = await run_in_threadpool(self._render, names)
        except Exception as error:
            problem = to_problem(error)
            await problem_response(problem)(scope, receive, send)
            if problem.status == 500:
                raise  # so that it is logged
            return
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _render(self, names: list[str]) -> bytes:
        found = {}
        for name in names:
            kind, number = _split(name)
            make = partial(RENDERERS[kind], self.fragments.lab, number)
            try:
                version, html = self.fragments.render(name, "", make)
            except NotFound:
                continue
            found[name] = {"version": version, "html": html}
        return json.dumps(found, separators=(",", ":")).encode()


def _parse_names(query: str) -> list[str]:
    """Return the names in a query string.

    Raises:
        Invalid: one is not the name of a fragment that is fetched by itself, or there are none or too many.
    """
    names = list(dict.fromkeys(value for key, value in parse_qsl(query) if key == "fragment"))
    if not 1 <= len(names) <= MAX_AT_ONCE:
        raise Invalid(f"name 1 to {MAX_AT_ONCE} fragments, not {len(names)}")
    if not all(re.match(NAME, name) and _split(name)[0] in RENDERERS for name in names):
        raise Invalid("there is no such fragment")
    return names


def _split(name: str) -> tuple[str, int]:
    """Return the key of RENDERERS for a fragment, and the id of its server or run."""
    what, _, rest = name.partition("/")
    number, _, part = rest.partition("/")
    return (f"{what}/{part}", int(number)) if part else (name, 0)
