"""The event stream of one run in the REST API.

    snapshot    the run's resource; for a running run also its `history`
    run         the run's resource, after a change and regularly while it runs
    end         the run has ended or was deleted, and the stream ends

Data is JSON. The `id` is the version of the run. A client that reconnects with the newest one as `Last-Event-ID`
gets no second snapshot.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

from fastapi.sse import KEEPALIVE_COMMENT
from starlette.concurrency import run_in_threadpool

from webapp.lab.change_feed import progress_topic, run_topic
from webapp.lab.lab import Lab
from webapp.live.streams import PING_S, KeepaliveTimer, format_event, version_of
from webapp.problems import NotFound
from webapp.schemas.resources import RunResource


async def run_events(lab: Lab, run_id: int, last_event_id: str | None) -> AsyncGenerator[bytes, None]:
    """Yield the events of one run until it ends, is deleted, or the lab shuts down."""
    topics = (run_topic(run_id), progress_topic(run_id))
    sent = version_of(last_event_id)
    is_first = sent != lab.feed.version(*topics)
    keepalive = KeepaliveTimer()
    while not lab.feed.is_closed:
        version = lab.feed.version(*topics)  # read before the state, so that a change in between is sent next time
        try:
            run, text = await run_in_threadpool(_read_run, lab, run_id, is_first)
        except NotFound:
            yield format_event("end", json.dumps({"state": "deleted"}), version)
            return
        if is_first or version != sent or run.state == "running":
            yield format_event("snapshot" if is_first else "run", text, version)
            is_first, sent = False, version
            keepalive.restart()
        if run.is_over:
            yield format_event("end", json.dumps({"state": run.state}), version)
            return
        await asyncio.sleep(lab.settings.push_interval_s)
        # The elapsed time of a running run changes without an event of the feed.
        await lab.feed.wait(topics, sent, lab.settings.push_interval_s if run.state == "running" else PING_S)
        if keepalive.is_due():
            yield KEEPALIVE_COMMENT


def _read_run(lab: Lab, run_id: int, with_history: bool) -> tuple[RunResource, str]:
    """Return the run and its JSON; the snapshot of a running one has `history` next to the resource's fields."""
    run = lab.runs.get(run_id)
    history = lab.runs.history(run_id) if with_history else None
    if history is None:
        return run, run.model_dump_json()
    return run, json.dumps(run.model_dump(mode="json") | {"history": history.model_dump()})
