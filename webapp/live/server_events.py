"""The events of one server: a snapshot with its last minute, then what changed, at most a few times a second.

    snapshot    the server's resource, and the view of `webapp.live.server_json` with all of the last minute
    look        the view, with what is new since the one before
    end         the server was deleted, and so is this stream

A server that is started again begins with a snapshot. A server moves on all the time: whoever comes back gets a
snapshot too, whatever the last id was.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT
from starlette.concurrency import run_in_threadpool

from coreserver.clock import NS_PER_S, now_ns
from coreserver.records.samples import Sample
from webapp.lab.change_feed import LAB
from webapp.lab.lab import Lab
from webapp.lab.server_snapshot import Seen
from webapp.live.events import DRAWING_SHARE, PING_S, KeepaliveTimer, event
from webapp.live.server_json import view
from webapp.live.sparklines import RATES_OVER, rows_of
from webapp.live.worker_lanes import WINDOW_S
from webapp.problems import NotFound
from webapp.schemas.resources import ServerResource

_UP = ("listening", "draining")


class ServerWatch:
    """Looks at one server again and again, each time for what is new since the look before; one thread at a time."""

    def __init__(self, lab: Lab, server_id: int) -> None:
        self._lab = lab
        self._server_id = server_id
        self._life: object = None
        self._seen: Seen | None = None
        self._samples: list[Sample] = []  # the last few, to tell the rates of the next ones

    def next(self) -> tuple[str, dict[str, Any], ServerResource, float]:
        """The event to send, its data, the server, and how long the look took. Raises NotFound."""
        began = time.monotonic()
        look = self._lab.servers.look(self._server_id, self._seen or minute_ago())
        is_new = self._seen is None or look.life is not self._life
        if is_new:
            self._samples, self._seen = [], minute_ago()
            look = self._lab.servers.look(self._server_id, self._seen)
        self._life, self._seen = look.life, look.seen(self._seen or minute_ago())
        known = len(self._samples)
        self._samples += look.samples
        data = view(look, rows_of(self._samples)[known:])
        del self._samples[:-RATES_OVER]
        if is_new:
            data = {"server": look.server.model_dump(mode="json"), "look": data}
        return ("snapshot" if is_new else "look"), data, look.server, time.monotonic() - began


def minute_ago() -> Seen:
    """As if everything but the last minute had been seen; of events all are new."""
    at_ns = now_ns() - WINDOW_S * NS_PER_S
    return Seen(at_ns, at_ns, event_ns=0)


async def server_events(lab: Lab, server_id: int) -> AsyncGenerator[bytes, None]:
    """The events of one server, until it is deleted or the lab ends."""
    watch = ServerWatch(lab, server_id)
    quiet = KeepaliveTimer()
    shown = None
    while not lab.feed.is_closed:
        version = lab.feed.version(LAB)
        try:
            name, data, server, took_s = await run_in_threadpool(watch.next)
        except NotFound:
            yield event("end", json.dumps({"state": "deleted"}), version)
            return
        if name == "snapshot" or server.state in _UP or server != shown:
            yield event(name, json.dumps(data, separators=(",", ":")), version)
            shown = server
            quiet.broken()
        pause_s = max(lab.settings.push_interval_s, DRAWING_SHARE * took_s)
        await asyncio.sleep(pause_s)
        if server.state not in _UP:
            await lab.feed.wait(LAB, version, PING_S)
        if quiet.too_long():
            yield KEEPALIVE_COMMENT
