"""uvicorn with deadlines for silent peers, and with event streams that end before the shutdown waits.

uvicorn has no deadline for the rest of a request or for a peer that does not read its response. It calls the
application's shutdown after all connections have closed, but the stream of a live page never closes by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, ClassVar

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from webapp.settings import Settings

GRACE_S = 2  # for responses in progress, after the streams have ended
# While the process has no file descriptor left, connections wait in the backlog, and asyncio logs an error for each
# failed accept: with the default of 2,048 this uses one core and logs megabytes per second.
BACKLOG = 16
TICK_S = 0.1  # as in uvicorn
FORCED_EXIT = 1


class DeadlineProtocol(H11Protocol):
    """uvicorn's HTTP protocol with deadlines for receiving a request and for sending a response; see `protocol`."""

    receive_deadline_s: ClassVar[float]
    send_deadline_s: ClassVar[float]
    _receiving: asyncio.TimerHandle | None = None
    _sending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first request."""
        super().connection_made(transport)
        self._start_receive_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadlines."""
        self._cancel_receive_deadline()
        self._cancel_send_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process received data. The deadline is for the whole request; further bytes do not extend it."""
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):  # the request is incomplete
            self._start_receive_deadline()
        else:
            self._cancel_receive_deadline()

    def on_response_complete(self) -> None:
        """Start the deadline again only if the next request has begun; otherwise uvicorn's keep-alive timer applies."""
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE:
            begun, _ = self.conn.trailing_data  # data of the next request that arrived with this one
            (self._start_receive_deadline if begun else self._cancel_receive_deadline)()

    def pause_writing(self) -> None:
        """Start the send deadline: the write buffer is full."""
        super().pause_writing()
        self._sending = self.loop.call_later(self.send_deadline_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Cancel the send deadline: the peer has read most of the buffer."""
        super().resume_writing()
        self._cancel_send_deadline()

    def _start_receive_deadline(self) -> None:
        if self._receiving is None and not self.transport.is_closing():
            self._receiving = self.loop.call_later(self.receive_deadline_s, self.transport.abort)

    def _cancel_receive_deadline(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def _cancel_send_deadline(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None


def protocol(receive_deadline_s: float, send_deadline_s: float) -> type[DeadlineProtocol]:
    """Return a protocol class with these deadlines: uvicorn creates the instances and passes no further arguments."""
    deadlines = {"receive_deadline_s": receive_deadline_s, "send_deadline_s": send_deadline_s}
    return type("LabProtocol", (DeadlineProtocol,), deadlines)


class LabServer(uvicorn.Server):
    """uvicorn server that announces when it listens, ends streams before it waits, and exits on a second signal."""

    def __init__(
        self, app: FastAPI, settings: Settings, *, on_listening: Callable[[], None], on_shutdown: Callable[[], None]
    ) -> None:
        super().__init__(_config(app, settings))
        self._on_listening = on_listening
        self._on_shutdown = on_shutdown
        self._ending = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def end(self) -> None:
        """Shut down, called from another thread. uvicorn alone would notice it only at its next tick."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has already ended
                self._loop.call_soon_threadsafe(self._ending.set)

    async def main_loop(self) -> None:
        """Run uvicorn's ticks, ten per second, until the end is requested."""
        tick = 0
        while not await self.on_tick(tick):
            tick += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._ending.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application and listen, then call `on_listening`."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._on_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams and runs, then let uvicorn wait for the remaining connections."""
        self._on_shutdown()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM. uvicorn would raise them again after the shutdown, before the lab is closed."""
        if threading.current_thread() is not threading.main_thread():  # an embedded lab
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Shut down at the first signal, exit at once at the second; child processes end when their stdin closes."""
        if self.should_exit:
            os._exit(FORCED_EXIT)
        self.should_exit = True


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    options: dict[str, Any] = {
        "http": protocol(settings.receive_deadline_s, settings.send_deadline_s),
        "loop": "asyncio",  # its behaviour at the descriptor limit is the one that was tested
        "ws": "none",
        "lifespan": "on",
        "backlog": BACKLOG,
        "timeout_graceful_shutdown": GRACE_S,
        "server_header": False,
        "proxy_headers": False,
        "access_log": False,
        "log_level": "warning",
    }
    return uvicorn.Config(app, **options)
