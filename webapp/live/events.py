"""Server-sent events: a snapshot first, then what changed, at most a few times a second.

    snapshot          the whole resource, or both lists: what a page needs to be right again after any interruption;
                      of a running run also its `history`
    run, timeline     one run: its resource; its drawing as a string of markup
    servers, runs     the lab: the list that changed
    end               the run is over or was deleted, and so is this stream

The events of one server are in `webapp.live.server_events`.

Data is JSON. The `id` is the version that an event shows; a client that comes back with the newest one as its
`Last-Event-ID` has missed nothing and gets no second snapshot.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from functools import partial

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from webapp.http.api_responses import problem_response
from webapp.lab.change_feed import LAB, run_topic
from webapp.lab.lab import Lab
from webapp.problems import NotFound, Quota
from webapp.run_drawings import timeline_svg
from webapp.schemas.resources import RunFilter, RunResource, ServerResource

PING_S = 15.0
LAB_TICK_S = 1.0  # servers' figures change without anybody moving them
SHOWN_RUNS = 20
DRAWING_INTERVAL_S = 0.25
DRAWING_SHARE = 20  # a look at a server takes at most a twentieth of the time: the same machine serves
TIMELINE_SHARE = 50  # drawing a run's timeline less: the run is measured meanwhile
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
    """The events of one run, until it is over or forgotten, or the lab ends.

    Drawings are made beside the figures, which do not wait for them.
    """
    topic = run_topic(run_id)
    shown = _version_of(last_event_id)
    is_first = shown != lab.feed.version(topic)
    drawings = TimelineRenderer(partial(timeline_svg, lab, run_id, embedded=True))
    quiet = KeepaliveTimer()
    try:
        while not lab.feed.is_closed:
            version = lab.feed.version(topic)  # read before the state, so that a change in between is seen next time
            try:
                run, text = await run_in_threadpool(_run, lab, run_id, is_first)
                drawing = await drawings.next(run)
            except NotFound:
                yield event("end", json.dumps({"state": "deleted"}), version)
                return
            if is_first or version != shown or run.state == "running":
                yield event("snapshot" if is_first else "run", text, version)
                is_first, shown = False, version
                quiet.broken()
            if drawing is not None:
                yield event("timeline", json.dumps(drawing), version)
            if run.is_over:
                yield event("end", json.dumps({"state": run.state}), version)
                return
            await asyncio.sleep(lab.settings.push_interval_s)
            # A run under way moves on by itself: its open bars grow.
            await lab.feed.wait(topic, shown, lab.settings.push_interval_s if run.state == "running" else PING_S)
            if quiet.too_long():
                yield KEEPALIVE_COMMENT
    finally:
        await drawings.end()


class TimelineRenderer:
    """The drawings of one run, made one after the other in another thread, each for so long as its share of the time
    allows."""

    def __init__(self, draw: Callable[[], str]) -> None:
        self._draw = draw
        self._making: asyncio.Task[tuple[str, float]] | None = None
        self._not_before = 0.0
        self._drawn = ""

    async def next(self, run: RunResource) -> str | None:
        """A drawing that is ready and new. For a run that is over it is waited for: it is the last one."""
        if run.state == "queued":
            return None
        if run.is_over:
            await self.end()  # it may be of before the end
            self._make()
        elif self._making is None and time.monotonic() >= self._not_before:
            self._make()
        if self._making is None or not (run.is_over or self._making.done()):
            return None
        making, self._making = self._making, None
        drawing, took_s = await making
        self._not_before = time.monotonic() + max(DRAWING_INTERVAL_S, TIMELINE_SHARE * took_s)
        if drawing == self._drawn:
            return None
        self._drawn = drawing
        return drawing

    async def end(self) -> None:
        """Wait for a drawing that is being made; nobody wants it any more."""
        if self._making is not None:
            await asyncio.wait([self._making])
            if not self._making.cancelled():
                self._making.exception()  # such as NotFound of a run that was deleted meanwhile
            self._making = None

    def _make(self) -> None:
        self._making = asyncio.create_task(run_in_threadpool(self._draw_timed))

    def _draw_timed(self) -> tuple[str, float]:
        """The drawing, and how long it took."""
        began = time.monotonic()
        return self._draw(), time.monotonic() - began


async def lab_events(lab: Lab, last_event_id: str | None) -> AsyncGenerator[bytes, None]:
    """The lists of servers and of the last runs, whenever one of them has changed, until the lab ends."""
    shown: dict[str, str] = {}
    if _version_of(last_event_id) == lab.feed.version(LAB):
        shown = await run_in_threadpool(_lists, lab)
    quiet = KeepaliveTimer()
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


class KeepaliveTimer:
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


def _run(lab: Lab, run_id: int, with_history: bool) -> tuple[RunResource, str]:
    """The run, and as JSON; a snapshot of a running one has its `history` beside the resource's fields."""
    run = lab.runs.get(run_id)
    history = lab.runs.history(run_id) if with_history else None
    if history is None:
        return run, run.model_dump_json()
    return run, json.dumps(run.model_dump(mode="json") | {"history": history.model_dump()})


def _lists(lab: Lab) -> dict[str, str]:
    runs = lab.runs.find(RunFilter(limit=SHOWN_RUNS)).runs
    return {"servers": _SERVERS.dump_json(lab.servers.all()).decode(), "runs": _RUNS.dump_json(runs).decode()}


def event(name: str, data: str, version: int) -> bytes:
    """One event as it goes over the wire."""
    return format_sse_event(data_str=data, event=name, id=f"{_PROCESS}-{version}")


def _version_of(event_id: str | None) -> int:
    """The version in an id of this process; -1 for any other."""
    process, _, version = (event_id or "").partition("-")
    return int(version) if process == _PROCESS and version.isdecimal() and len(version) < 20 else -1
