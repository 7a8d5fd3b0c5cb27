"""Server-sent event streams: their number, their wire format, and comments that keep an idle stream alive."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi.sse import format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from webapp.http.api_responses import problem_response
from webapp.problems import Quota

PING_S = 15.0
PROCESS = secrets.token_hex(4)  # versions start again with every process


class Streams:
    """The number of open streams and its limit; used in the event loop only."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.open = 0


class EventStream(StreamingResponse):
    """A response with server-sent events. It counts as open while it is sent; beyond the limit it answers 429.

    A generator of events must not produce the next event before the previous one was taken. The server's send
    deadline then closes a stream whose reader has stalled, and such a stream holds one event at most.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None], streams: Streams) -> None:
        super().__init__(events)
        self._events = events
        self._streams = streams

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._streams.open >= self._streams.limit:
            problem = Quota("max_streams", f"{self._streams.limit} event streams are open already")
            await problem_response(problem)(scope, receive, send)
            return
        self._streams.open += 1
        try:
            async with aclosing(self._events):
                await super().__call__(scope, receive, send)
        finally:
            self._streams.open -= 1


class KeepaliveTimer:
    """Says when a silent stream needs a comment, which lets both ends notice that the other one is gone."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Start a new interval: something was sent."""
        self._since = time.monotonic()

    def is_due(self) -> bool:
        """Whether a comment is due. If it is, a new interval starts."""
        if time.monotonic() - self._since < PING_S:
            return False
        self.restart()
        return True


def format_event(name: str, data: str, version: int) -> bytes:
    """Return one event as it is sent. Its id names this process and the version."""
    return format_sse_event(data_str=data, event=name, id=f"{PROCESS}-{version}")


def version_of(event_id: str | None) -> int:
    """Return the version in an event id of this process, -1 for any other id."""
    process, _, version = (event_id or "").partition("-")
    return int(version) if process == PROCESS and version.isdecimal() and len(version) < 20 else -1
