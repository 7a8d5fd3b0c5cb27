"""One thread for every client: the standard library's asyncio, on uvloop where it is installed.

    loop: accept_some ─ a transport and a Peer for each ─ buffer_updated: reply ─ …

A `Peer` is an asyncio protocol: the loop calls it with what was received, and it writes replies to its transport. No
streams and no task a connection: those cost three times as much a message.

We accept ourselves, through a reader on our own listener. `loop.create_server` is no help at the descriptor limit:
asyncio's own accept loop wrote 612,000 tracebacks in 25 s there, and uvloop's closes the peers it has no room for
without telling anyone.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from typing import Any, Literal, cast

from pydantic import Field

from coreserver.clock import NS_PER_S, now_ns
from coreserver.config.server import ServerOptions
from coreserver.errors import ConfigError
from coreserver.models.shared.event_driven_server import WORKER, EventedServer
from coreserver.models.shared.event_driven_session import EventDrivenSession
from coreserver.models.shared.open_connections import Connection
from coreserver.protocols.article import GREETING
from coreserver.records.server import ServerOutcome
from coreserver.telemetry.recorder import Recorder


class AsyncioConfig(ServerOptions):
    """Settings of `asyncio`."""

    model: Literal["asyncio"]
    loop: Literal["auto", "uvloop", "asyncio"] = Field(
        default="auto", description="auto: uvloop where it is installed, else the standard library's loop"
    )


class Peer(EventDrivenSession, asyncio.BufferedProtocol):
    """A connection as an asyncio protocol. Loop thread only.

    Its transport has a high-water mark of zero: as soon as the kernel does not take a whole reply, `pause_writing`
    comes, and we stop reading until all is taken. So at most the replies to one read wait, never over `read_bytes`.

    Attributes:
        transport: None before `connection_made`, and once the end has begun.
    """

    __slots__ = ("_buffer", "_outcome", "_server", "_unsent", "_works", "_write", "transport")

    def __init__(self, server: AsyncioServer, connection: Connection) -> None:
        super().__init__(connection, server.terms)
        self.transport: asyncio.Transport | None = None
        self._server = server
        self._buffer = server.buffer
        self._works = server.terms.works
        self._unsent = 0  # reply bytes the transport held when we last looked
        self._outcome: ServerOutcome | None = None  # why we end it; None: the peer does

    def unsent_bytes(self) -> int:
        """Reply bytes that the transport holds, because the kernel has not taken them."""
        if self._unsent and self.transport is not None:
            self._unsent = self.transport.get_write_buffer_size()
        return self._unsent

    # --- called by the transport ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self.transport = cast(asyncio.Transport, transport)
        self._write = self.transport.write if self.terms.config.reply == "coalesced" else self._write_each_byte
        try:
            self.transport.set_write_buffer_limits(0)
            if not self.terms.config.nodelay:  # both loops set it
                self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
            self._server.started(self)
            self._send(GREETING)
        except Exception as error:
            self._fail(error)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go: one buffer for all peers, since each read is taken out before the next."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Answer what was received."""
        self.active_ns = now_ns()
        self.bytes_in += nbytes
        data = self._buffer[:nbytes].tobytes()
        try:
            if self._works:
                self.order = self.steps(data)
                self._go_on()
            elif reply := self.engine.receive(data):
                self.written += len(reply)
                self._write(reply)
        except Exception as error:
            self._fail(error)

    def eof_received(self) -> None:
        """The peer has closed its side: the transport sends what is unsent, then closes."""

    def pause_writing(self) -> None:
        """The kernel has not taken all of a reply: read no further until it has."""
        if self.transport is not None:
            self._unsent = self.transport.get_write_buffer_size()
            self.transport.pause_reading()
            self.begin_unsent()
            self._server.deadlines.set(self, self.due_ns())

    def resume_writing(self) -> None:
        """The kernel has taken all."""
        self._unsent = 0
        self._read_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, whoever wanted it; the transport closes the socket when we return."""
        self.transport = None
        outcome = self._outcome or (ServerOutcome.RESET if exc else ServerOutcome.COMPLETED)
        self._server.lost(self, outcome)

    # --- the work, in order --------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Take the next steps of the order, until it sleeps or is done; the peer is not read from meanwhile."""
        for step in self.order or ():
            if self.transport is None or self.transport.is_closing():
                return
            if isinstance(step, float):
                self.transport.pause_reading()
                self._server.call_at(now_ns() + int(step * NS_PER_S), self._wake_up)
                return
            self._send(step)
        self.order = None
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
                # Each further write to a lost connection would be a warning in the log.
                self.written -= len(reply) - position
                return
            self.transport.write(reply[position : position + 1])

    def finish(self, outcome: ServerOutcome) -> None:
        """Close it, whatever is still owed to it; `connection_lost` comes soon."""
        if self.transport is not None:
            self.unsent_bytes()  # the last look: aborting forgets them
            self._outcome = outcome
            self.transport.abort()
            self.transport = None

    def _fail(self, error: Exception) -> None:
        self._server.recorder.event("error", f"serving failed: {type(error).__name__}: {error}")
        self.finish(ServerOutcome.ERROR)


class AsyncioServer(EventedServer[Peer]):
    """asyncio protocols in one thread, on uvloop where it is installed: nobody waits for a peer, all for CPU work."""

    Config = AsyncioConfig

    def __init__(self, config: AsyncioConfig, recorder: Recorder | None = None) -> None:
        super().__init__(config, recorder)
        self.buffer = memoryview(bytearray(config.read_bytes))
        self._wanted = config.loop
        self._peers: set[Peer] = set()  # from their greeting to their end
        self._adopting: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Event()

    # --- the loop ------------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Make the loop.

        Raises:
            ConfigError: uvloop was asked for and is not installed.
        """
        name, factory = loop_factory(self._wanted)
        self._runner = asyncio.Runner(loop_factory=factory)
        self.held.callback(self._runner.close)  # for a loop that never ran; one that did closes itself
        self._loop = self._runner.get_loop()
        self._loop.add_reader(self.timers.fd, self.timers.ready)
        self._loop.set_exception_handler(self._on_loop_error)
        self._settle_detail("loop", name)

    def run_loop(self) -> None:
        """Run it until told to end."""
        with self._runner:
            self._runner.run(self._main())

    async def _main(self) -> None:
        await self._ending.wait()
        while self._peers or self._adopting:
            self.end_all(ServerOutcome.ERROR)
            await asyncio.sleep(0)

    def end_loop(self) -> None:
        """Let `_main` return."""
        self._ending.set()

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.recorder.event("error", f"{context['message']}: {context.get('exception')}")

    def in_loop(self, callback: Callable[[], None]) -> None:
        """Call it in the loop's thread."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(callback)

    def watch(self, listener: socket.socket) -> None:
        """Let the loop tell of connections to accept."""
        self._loop.add_reader(listener, self.accept_some)

    def unwatch(self, listener: socket.socket) -> None:
        """… or not."""
        self._loop.remove_reader(listener)

    # --- one peer ------------------------------------------------------------------------------------------------

    def begin(self, connection: Connection) -> None:
        """Give it a transport, which greets it."""
        task = self._loop.create_task(self._adopt(connection))
        self._adopting.add(task)
        task.add_done_callback(self._adopting.discard)

    async def _adopt(self, connection: Connection) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: Peer(self, connection), connection.sock)
        except Exception as error:
            if not connection.ended:
                self.recorder.event("error", f"no transport: {type(error).__name__}: {error}")
                self.connections.close(connection, ServerOutcome.ERROR)

    def started(self, peer: Peer) -> None:
        """Its transport is there, and the greeting is about to be written."""
        self._peers.add(peer)
        self.deadlines.set(peer, peer.due_ns())
        self.recorder.started(peer.connection.record, WORKER)

    def end(self, peer: Peer, outcome: ServerOutcome) -> None:
        """Close it, whatever is still owed to it."""
        peer.finish(outcome)

    def lost(self, peer: Peer, outcome: ServerOutcome) -> None:
        """Its transport is about to close the socket."""
        self._peers.discard(peer)
        self.deadlines.drop(peer)
        peer.complete_record()
        self.connections.release(peer.connection, outcome)

    def end_all(self, outcome: ServerOutcome) -> None:
        """Close every peer that is left; each is `lost` soon."""
        for peer in self._peers:
            peer.finish(outcome)


def loop_factory(wanted: str) -> tuple[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The name and the maker of the loop to use.

    Raises:
        ConfigError: uvloop was asked for and is not installed.
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
