"""Server-sent events: a snapshot first, then what changed, at most a few times a second.

    snapshot          the whole resource, or both lists: what a page needs to be right again after any interruption
    run, timeline     one run: its resource; its drawing as a string of markup
    servers, runs     the lab: the list that changed
    end               the run is over or was deleted, and so is this stream

The events of one server are in `webapp.server_events`.

Data is JSON. The `id` is the version that an event shows; a client that comes back with the newest one as its
`Last-Event-ID` has missed nothing and gets no second snapshot.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from webapp.answers import problem_response
from webapp.feed import LAB, run_topic
from webapp.lab import Lab
from webapp.problems import NotFound, Quota
from webapp.schemas import RunFilter, RunResource, ServerResource

PING_S = 15.0
LAB_TICK_S = 1.0  # servers' figures change without anybody moving them
SHOWN_RUNS = 20
DRAWING_SHARE = 20  # drawing takes at most a twentieth of the time: the same machine serves the run
_SERVERS = TypeAdapter(list[ServerResource])
_RUNS = TypeAdapter(list[RunResource])
_PROCESS = secrets.token_hex(4)  # versions begin anew with every process


class Streams:
    """How many streams are open; used within the event loop only."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.open = 0


class EventStream(StreamingResponse):
    """A stream of events that counts as open exactly while it is being sent; past the limit it is a 429."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None], streams: Streams) -> None:
        super().__init__(events)
        self._events = events
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events, if there is room for one more stream."""
        if self._streams.open >= self._streams.limit:
            problem = Quota("max_streams", f"{self._streams.limit} live pages are open already")
            await problem_response(problem)(scope, receive, send)
            return
        self._streams.open += 1
        try:
            async with aclosing(self._events):
                await super().__call__(scope, receive, send)
        finally:
            self._streams.open -= 1


async def run_events(lab: Lab, run_id: int, last_event_id: str | None) -> AsyncGenerator[bytes, None]:
    """The events of one run, until it is over or forgotten, or the lab ends."""
    topic = run_topic(run_id)
    shown = _version_of(last_event_id)
    is_first = shown != lab.feed.version(topic)
    drawn = ""
    quiet = Quiet()
    while not lab.feed.is_closed:
        version = lab.feed.version(topic)  # read before the state, so that a change in between is seen next time
        try:
            run, drawing, took_s = await run_in_threadpool(_run_and_drawing, lab, run_id)
        except NotFound:
            yield event("end", json.dumps({"state": "deleted"}), version)
            return
        if is_first or version != shown or run.state == "running":
            yield event("snapshot" if is_first else "run", run.model_dump_json(), version)
            is_first, shown = False, version
            quiet.broken()
        if drawing != drawn:
            yield event("timeline", json.dumps(drawing), version)
            drawn = drawing
        if run.is_over:
            yield event("end", json.dumps({"state": run.state}), version)
            return
        pause_s = max(lab.settings.push_interval_s, DRAWING_SHARE * took_s)
        await asyncio.sleep(pause_s)
        # A run under way moves on by itself: its open bars grow.
        await lab.feed.wait(topic, shown, pause_s if run.state == "running" else PING_S)
        if quiet.too_long():
            yield KEEPALIVE_COMMENT


async def lab_events(lab: Lab, last_event_id: str | None) -> AsyncGenerator[bytes, None]:
    """The lists of servers and of the last runs, whenever one of them has changed, until the lab ends."""
    shown: dict[str, str] = {}
    if _version_of(last_event_id) == lab.feed.version(LAB):
        shown = await run_in_threadpool(_lists, lab)
    quiet = Quiet()
    while not lab.feed.is_closed:
        version = lab.feed.version(LAB)
        lists = await run_in_threadpool(_lists, lab)
        for change in _changes(shown, lists, version):
            yield change
            quiet.broken()
        shown = lists
        await asyncio.sleep(lab.settings.push_interval_s)
        await lab.feed.wait(LAB, version, LAB_TICK_S)
        if quiet.too_long():
            yield KEEPALIVE_COMMENT


def _changes(shown: Mapping[str, str], lists: Mapping[str, str], version: int) -> list[bytes]:
    if not shown:
        both = ", ".join(f'"{name}": {text}' for name, text in lists.items())
        return [event("snapshot", f"{{{both}}}", version)]
    return [event(name, text, version) for name, text in lists.items() if text != shown[name]]


class Quiet:
    """How long nothing was sent: a comment now and then lets both ends notice that the other has gone."""

    def __init__(self) -> None:
        self.broken()

    def broken(self) -> None:
        """Something was sent."""
        self._since = time.monotonic()

    def too_long(self) -> bool:
        """Whether it is time for a comment; asking begins a new wait."""
        if time.monotonic() - self._since < PING_S:
            return False
        self.broken()
        return True


def _run_and_drawing(lab: Lab, run_id: int) -> tuple[RunResource, str, float]:
    """The run, its drawing, and how long drawing took; the run first, so that an ended one has its last drawing."""
    run = lab.run(run_id)
    began = time.monotonic()
    drawing = lab.timeline_svg(run_id, embedded=True) if run.state != "queued" else ""
    return run, drawing, time.monotonic() - began


def _lists(lab: Lab) -> dict[str, str]:
    runs = lab.runs(RunFilter(limit=SHOWN_RUNS)).runs
    return {"servers": _SERVERS.dump_json(lab.servers()).decode(), "runs": _RUNS.dump_json(runs).decode()}


def event(name: str, data: str, version: int) -> bytes:
    """One event as it goes over the wire."""
    return format_sse_event(data_str=data, event=name, id=f"{_PROCESS}-{version}")


def _version_of(event_id: str | None) -> int:
    """The version in an id of this process; -1 for any other."""
    process, _, version = (event_id or "").partition("-")
    return int(version) if process == _PROCESS and version.isdecimal() and len(version) < 20 else -1
