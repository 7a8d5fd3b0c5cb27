"""One thread for all clients: the standard library's asyncio, on uvloop if it is installed.

    loop:  accept_some ─ a transport and an AsyncioSession for each ─ buffer_updated: reply ─ …

An `AsyncioSession` is an asyncio protocol: the loop calls it with the bytes received, and it writes replies to its
transport. There are no streams and no task per connection, because those cost three times as much per message.

The server watches the listener with `loop.add_reader` and accepts itself, because `loop.create_server` fails at the
descriptor limit: the accept loop of asyncio wrote 612,000 tracebacks in 25 s, and that of uvloop closes the connections
for which it has no descriptor, without a report.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from typing import Any, Literal, cast

from pydantic import Field
from typing_extensions import override

from coreserver.clock import NS_PER_S, now_ns
from coreserver.config.server import ServerOptions
from coreserver.errors import ConfigError
from coreserver.models.shared.event_driven_server import WORKER, EventDrivenServer
from coreserver.models.shared.event_driven_session import EventDrivenSession
from coreserver.models.shared.open_connections import Connection
from coreserver.protocols.article import GREETING
from coreserver.records.server import ServerOutcome
from coreserver.telemetry.recorder import Recorder


class AsyncioConfig(ServerOptions):
    """Settings of `asyncio`."""

    model: Literal["asyncio"]
    loop: Literal["auto", "uvloop", "asyncio"] = Field(
        default="auto", description="auto: uvloop if it is installed, else the standard library's loop"
    )


class AsyncioSession(EventDrivenSession, asyncio.BufferedProtocol):
    """A connection as an asyncio protocol. Loop thread only.

    The high-water mark of its transport is zero: as soon as the kernel does not take a whole reply, the transport calls
    `pause_writing`, and the session stops reading until the kernel has taken everything. So at most the replies to one
    read are buffered, never more than `read_bytes`.

    Attributes:
        transport: None before `connection_made`, and after `finish` or `connection_lost`.
    """

    __slots__ = ("_buffer", "_outcome", "_server", "_unsent", "_works", "_write", "transport")

    def __init__(self, server: AsyncioServer, connection: Connection) -> None:
        super().__init__(connection, server.limits)
        self.transport: asyncio.Transport | None = None
        self._server = server
        self._buffer = server.buffer
        self._works = server.limits.works
        self._unsent = 0  # reply bytes in the transport at the last check
        self._outcome: ServerOutcome | None = None  # set if the server ends the connection; None if the peer does

    @override
    def unsent_bytes(self) -> int:
        if self._unsent and self.transport is not None:
            self._unsent = self.transport.get_write_buffer_size()
        return self._unsent

    # --- called by the transport ---------------------------------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._write = self.transport.write if self.limits.config.reply == "coalesced" else self._write_each_byte
        try:
            self.transport.set_write_buffer_limits(0)
            if not self.limits.config.nodelay:  # both loops set TCP_NODELAY
                self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
            self._server.add(self)
            self._send(GREETING)
        except Exception as error:
            self._fail(error)

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer  # shared by all sessions: each read is copied out before the next

    @override
    def buffer_updated(self, nbytes: int) -> None:
        self.active_ns = now_ns()
        self.bytes_in += nbytes
        data = self._buffer[:nbytes].tobytes()
        try:
            if self._works:
                self.steps_left = self.steps(data)
                self._go_on()
            elif reply := self.engine.receive(data):
                self.written += len(reply)
                self._write(reply)
        except Exception as error:
            self._fail(error)

    @override
    def eof_received(self) -> None:
        """Return None, which makes the transport send the remaining replies and then close."""

    @override
    def pause_writing(self) -> None:
        if self.transport is not None:
            self._unsent = self.transport.get_write_buffer_size()
            self.transport.pause_reading()
            self.begin_unsent()
            self._server.deadlines.set(self, self.due_ns())

    @override
    def resume_writing(self) -> None:
        self._unsent = 0
        self._read_on()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Complete the session; the transport closes the socket when this returns."""
        self.transport = None
        outcome = self._outcome or (ServerOutcome.RESET if exc else ServerOutcome.COMPLETED)
        self._server.remove(self, outcome)

    # --- the work, step by step --------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Run the remaining steps up to the next sleep; the transport does not read until all are done."""
        for step in self.steps_left or ():
            if self.transport is None or self.transport.is_closing():
                return
            if isinstance(step, float):
                self.transport.pause_reading()
                self._server.call_at(now_ns() + int(step * NS_PER_S), self._wake_up)
                return
            self._send(step)
        self.steps_left = None
        self._read_on()

    def _wake_up(self) -> None:
        try:
            self._go_on()
        except Exception as error:
            self._fail(error)

    def _read_on(self) -> None:
        self.active_ns = now_ns()
        if self.transport is not None and not self._is_busy():
            self.transport.resume_reading()

    # --- output and the end --------------------------------------------------------------------------------------

    def _send(self, reply: bytes) -> None:
        self.written += len(reply)
        self._write(reply)

    def _write_each_byte(self, reply: bytes) -> None:
        for position in range(len(reply)):
            if self.transport is None or self.transport.is_closing():
                # Each further write to a lost connection would log a warning.
                self.written -= len(reply) - position
                return
            self.transport.write(reply[position : position + 1])

    def finish(self, outcome: ServerOutcome) -> None:
        """Close the connection, discarding unsent replies; the loop then calls `connection_lost`."""
        if self.transport is not None:
            self.unsent_bytes()  # update the count, because `abort` discards these bytes
            self._outcome = outcome
            self.transport.abort()
            self.transport = None

    def _fail(self, error: Exception) -> None:
        self._server.recorder.event("error", f"serving failed: {type(error).__name__}: {error}")
        self.finish(ServerOutcome.ERROR)


class AsyncioServer(EventDrivenServer[AsyncioSession]):
    """asyncio protocols in one thread, on uvloop if installed: a slow peer delays no other, CPU work delays all."""

    Config = AsyncioConfig

    def __init__(self, config: AsyncioConfig, recorder: Recorder | None = None) -> None:
        super().__init__(config, recorder)
        self.buffer = memoryview(bytearray(config.read_bytes))
        self._wanted = config.loop
        self._sessions: set[AsyncioSession] = set()  # from the greeting to the end
        self._adopting: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Event()

    # --- the loop ------------------------------------------------------------------------------------------------

    @override
    def set_up(self) -> None:
        """Create the loop.

        Raises:
            ConfigError: `loop` is uvloop, which is not installed.
        """
        name, factory = loop_factory(self._wanted)
        self._runner = asyncio.Runner(loop_factory=factory)
        self.resources.callback(self._runner.close)  # for a loop that never ran; one that ran closes itself
        self._loop = self._runner.get_loop()
        self._loop.add_reader(self.timers.fd, self.timers.ready)
        self._loop.set_exception_handler(self._on_loop_error)
        self._add_detail("loop", name)

    @override
    def run_loop(self) -> None:
        with self._runner:
            self._runner.run(self._main())

    async def _main(self) -> None:
        await self._ending.wait()
        while self._sessions or self._adopting:
            self.end_all(ServerOutcome.ERROR)
            await asyncio.sleep(0)

    @override
    def end_loop(self) -> None:
        self._ending.set()

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.recorder.event("error", f"{context['message']}: {context.get('exception')}")

    @override
    def in_loop(self, callback: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(callback)

    @override
    def watch(self, listener: socket.socket) -> None:
        self._loop.add_reader(listener, self.accept_some)

    @override
    def unwatch(self, listener: socket.socket) -> None:
        self._loop.remove_reader(listener)

    # --- one session ------------------------------------------------------------------------------------------------

    @override
    def begin(self, connection: Connection) -> None:
        task = self._loop.create_task(self._adopt(connection))
        self._adopting.add(task)
        task.add_done_callback(self._adopting.discard)

    async def _adopt(self, connection: Connection) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: AsyncioSession(self, connection), connection.sock)
        except Exception as error:
            if not connection.ended:
                self.recorder.event("error", f"cannot create a transport: {type(error).__name__}: {error}")
                self.connections.close(connection, ServerOutcome.ERROR)

    def add(self, session: AsyncioSession) -> None:
        """Register a session that has its transport; the greeting is written next."""
        self._sessions.add(session)
        self.deadlines.set(session, session.due_ns())
        self.recorder.started(session.connection.record, WORKER)

    @override
    def end(self, session: AsyncioSession, outcome: ServerOutcome) -> None:
        session.finish(outcome)

    def remove(self, session: AsyncioSession, outcome: ServerOutcome) -> None:
        """Complete the record of a session whose transport closes the socket next."""
        self._sessions.discard(session)
        self.deadlines.drop(session)
        session.complete_record()
        self.connections.release(session.connection, outcome)

    @override
    def end_all(self, outcome: ServerOutcome) -> None:
        for session in self._sessions:
            session.finish(outcome)


def loop_factory(wanted: str) -> tuple[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return the name of the loop to use and the function that creates it.

    Raises:
        ConfigError: `wanted` is uvloop, which is not installed.
    """
    if wanted != "asyncio":
        try:
            import uvloop
        except ImportError:
            if wanted == "uvloop":
                raise ConfigError("uvloop is not installed; use loop: auto or asyncio", field="loop") from None
        else:
            return f"uvloop {version('uvloop')}", uvloop.new_event_loop
    return "asyncio", asyncio.SelectorEventLoop
