"""The event stream of the whole lab in the REST API.

    snapshot         both lists: servers and the latest runs
    servers, runs    the list that changed

Data is JSON. The `id` is the version of the lists, as in `webapp.live.run_events`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping

from fastapi.sse import KEEPALIVE_COMMENT
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from webapp.lab.change_feed import LAB, PROGRESS
from webapp.lab.lab import Lab
from webapp.live.streams import KeepaliveTimer, format_event, version_of
from webapp.schemas.resources import RunFilter, RunResource, ServerResource

TICK_S = 1.0  # the figures of servers change without an event of the feed
MAX_RUNS = 20
_TOPICS = (LAB, PROGRESS)
_SERVERS = TypeAdapter(list[ServerResource])
_RUNS = TypeAdapter(list[RunResource])


async def lab_events(lab: Lab, last_event_id: str | None) -> AsyncGenerator[bytes, None]:
    """Yield the lists of servers and of the latest runs whenever one has changed, until the lab shuts down."""
    sent: dict[str, str] = {}
    if version_of(last_event_id) == lab.feed.version(*_TOPICS):
        sent = await run_in_threadpool(_read_lists, lab)
    keepalive = KeepaliveTimer()
    while not lab.feed.is_closed:
        version = lab.feed.version(*_TOPICS)
        lists = await run_in_threadpool(_read_lists, lab)
        for change in _changes(sent, lists, version):
            yield change
            keepalive.restart()
        sent = lists
        await asyncio.sleep(lab.settings.push_interval_s)
        await lab.feed.wait(_TOPICS, version, TICK_S)
        if keepalive.is_due():
            yield KEEPALIVE_COMMENT


def _changes(sent: Mapping[str, str], lists: Mapping[str, str], version: int) -> list[bytes]:
    if not sent:
        both = ", ".join(f'"{name}": {text}' for name, text in lists.items())
        return [format_event("snapshot", f"{{{both}}}", version)]
    return [format_event(name, text, version) for name, text in lists.items() if text != sent[name]]


def _read_lists(lab: Lab) -> dict[str, str]:
    runs = lab.runs.find(RunFilter(limit=MAX_RUNS)).runs
    return {"servers": _SERVERS.dump_json(lab.servers.all()).decode(), "runs": _RUNS.dump_json(runs).decode()}
