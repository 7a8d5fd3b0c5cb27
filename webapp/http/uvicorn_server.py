"""uvicorn as the lab runs it: deadlines for peers that fall silent, streams that end first at shutdown.

uvicorn waits for ever for the rest of a request and for a reader who takes nothing, and it calls the application's own
shutdown only after every connection has closed, which a live page's stream never does.
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

GRACE_S = 2  # for answers in progress, after the streams were told to end
# Connections wait here while the process has no descriptor left, and uvicorn's loop logs an error for each accept that
# fails: with its default of 2,048 one core burns and the log grows by megabytes a second.
BACKLOG = 16
TICK_S = 0.1  # as uvicorn has it
FORCED_EXIT = 1


class DeadlineProtocol(H11Protocol):
    """uvicorn's HTTP protocol, closing when a request is not whole or an answer not taken in time; see `protocol`."""

    receive_deadline_s: ClassVar[float]
    send_deadline_s: ClassVar[float]
    _receiving: asyncio.TimerHandle | None = None
    _sending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A peer is here; its request is due."""
        super().connection_made(transport)
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        self._request_is_whole()
        self._answer_is_taken()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request: the deadline runs on until it is whole, so that drops of it gain nothing."""
        super().data_received(data)
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):  # the rest of a head or of a body is still to come
            self._expect_request()
        else:
            self._request_is_whole()

    def on_response_complete(self) -> None:
        """An answer went out; until the next request begins, uvicorn's keep-alive timer is in charge."""
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE:
            begun, _ = self.conn.trailing_data  # some of the next request came along with this one
            (self._expect_request if begun else self._request_is_whole)()

    def pause_writing(self) -> None:
        """The peer takes its answer more slowly than it is made."""
        super().pause_writing()
        self._sending = self.loop.call_later(self.send_deadline_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The peer has taken most of what was pending."""
        super().resume_writing()
        self._answer_is_taken()

    def _expect_request(self) -> None:
        if self._receiving is None and not self.transport.is_closing():
            self._receiving = self.loop.call_later(self.receive_deadline_s, self.transport.abort)

    def _request_is_whole(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def _answer_is_taken(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None


def protocol(receive_deadline_s: float, send_deadline_s: float) -> type[DeadlineProtocol]:
    """The protocol class with its deadlines: uvicorn makes the instances and has no place to pass them."""
    deadlines = {"receive_deadline_s": receive_deadline_s, "send_deadline_s": send_deadline_s}
    return type("LabProtocol", (DeadlineProtocol,), deadlines)


class LabServer(uvicorn.Server):
    """A uvicorn server that says when it listens, ends streams before it waits, and obeys a second signal at once."""

    def __init__(
        self, app: FastAPI, settings: Settings, *, on_listening: Callable[[], None], on_shutdown: Callable[[], None]
    ) -> None:
        super().__init__(_config(app, settings))
        self._on_listening = on_listening
        self._on_shutdown = on_shutdown
        self._told_to_end = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def end(self) -> None:
        """End in order, from another thread than the one that serves; uvicorn alone would see it at its next tick."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._told_to_end.set)

    async def main_loop(self) -> None:
        """uvicorn's ticks, ten a second, until the end is asked for."""
        tick = 0
        while not await self.on_tick(tick):
            tick += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._told_to_end.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application and listen, then say so."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._on_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell streams and runs to end, then let uvicorn wait for what is left."""
        self._on_shutdown()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM ask for the end once; uvicorn would raise them again afterwards, past our clean-up."""
        if threading.current_thread() is not threading.main_thread():  # no place for signals: an embedded lab
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
        """The first signal ends the lab in order, the second at once; children notice through their stdin."""
        if self.should_exit:
            os._exit(FORCED_EXIT)
        self.should_exit = True


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    options: dict[str, Any] = {
        "http": protocol(settings.receive_deadline_s, settings.send_deadline_s),
        "loop": "asyncio",  # pages need no speed, and its behaviour at the descriptor limit is the one we measured
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
