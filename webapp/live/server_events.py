"""The event stream of one server in the REST API.

    snapshot    the server's resource, and the view of `webapp.live.server_json` with the whole last minute
    look        the view, with what is new since the previous one
    end         the server was deleted, and the stream ends

A server that is started again begins with a snapshot. A client that reconnects also gets a snapshot, whatever its
last id was, because a running server changes all the time.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT
from starlette.concurrency import run_in_threadpool

from coreserver.records.samples import Sample
from webapp.lab.change_feed import LAB
from webapp.lab.lab import Lab
from webapp.lab.server_snapshot import Seen
from webapp.live.server_json import server_view
from webapp.live.sparklines import RATES_OVER, sample_rows
from webapp.live.streams import PING_S, KeepaliveTimer, format_event
from webapp.live.worker_lanes import minute_ago
from webapp.problems import NotFound
from webapp.schemas.resources import ServerResource

READING_SHARE = 20  # reading a server takes at most a twentieth of the time: the same machine serves
UP = ("listening", "draining")


class ServerReader:
    """Reads one server repeatedly, each time what is new since the previous reading. One thread at a time."""

    def __init__(self, lab: Lab, server_id: int) -> None:
        self._lab = lab
        self._server_id = server_id
        self._life: object = None
        self._seen: Seen | None = None
        self._samples: list[Sample] = []  # the last few, from which the rates of the next ones are computed

    def read(self) -> tuple[str, dict[str, Any], ServerResource, float]:
        """Return the event's name, its data, the server, and the seconds that the reading took.

        Raises:
            NotFound: the server was deleted.
        """
        began = time.monotonic()
        look = self._lab.servers.look(self._server_id, self._seen or minute_ago())
        is_new = self._seen is None or look.life is not self._life
        if is_new:
            self._samples, self._seen = [], minute_ago()
            look = self._lab.servers.look(self._server_id, self._seen)
        self._life, self._seen = look.life, look.seen(self._seen or minute_ago())
        known = len(self._samples)
        self._samples += look.samples
        data = server_view(look, sample_rows(self._samples)[known:])
        del self._samples[:-RATES_OVER]
        if is_new:
            data = {"server": look.server.model_dump(mode="json"), "look": data}
        return ("snapshot" if is_new else "look"), data, look.server, time.monotonic() - began


async def server_events(lab: Lab, server_id: int) -> AsyncGenerator[bytes, None]:
    """Yield the events of one server until it is deleted or the lab shuts down."""
    reader = ServerReader(lab, server_id)
    keepalive = KeepaliveTimer()
    sent = None
    while not lab.feed.is_closed:
        version = lab.feed.version(LAB)
        try:
            name, data, server, took_s = await run_in_threadpool(reader.read)
        except NotFound:
            yield format_event("end", json.dumps({"state": "deleted"}), version)
            return
        if name == "snapshot" or server.state in UP or server != sent:
            yield format_event(name, json.dumps(data, separators=(",", ":")), version)
            sent = server
            keepalive.restart()
        await asyncio.sleep(max(lab.settings.push_interval_s, READING_SHARE * took_s))
        if server.state not in UP:
            await lab.feed.wait([LAB], version, PING_S)
        if keepalive.is_due():
            yield KEEPALIVE_COMMENT
