"""One thread for all clients: an event loop on epoll(7).

    loop:  wait for readiness ─ accept, or receive and reply ─ timers ─ wait …

No call blocks, so a slow peer delays no other, and 10,000 idle connections cost a little memory each. An
`EpollSession` holds what a thread would keep on its stack. A reply is sent immediately. Only the bytes that the
kernel does not take are buffered, and the loop then also waits until the socket is writable. The loop does not read
from a peer that does not read its replies: the buffer ends at a high-water mark, and the peer's own sends block in
turn.

Work that uses the CPU delays every client, because there is one thread.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Literal

from typing_extensions import override

from coreserver.clock import NS_PER_S, now_ns
from coreserver.config.server import ServerOptions
from coreserver.models.shared.accept_loop import Waker
from coreserver.models.shared.event_driven_server import WORKER, EventDrivenServer
from coreserver.models.shared.event_driven_session import EventDrivenSession, SessionLimits
from coreserver.models.shared.open_connections import Connection
from coreserver.protocols.article import GREETING
from coreserver.records.server import ServerOutcome
from coreserver.telemetry.recorder import Recorder

HIGH_WATER = 256 * 1024  # unsent reply bytes at which the loop stops reading from a peer
LOW_WATER = 64 * 1024  # unsent reply bytes at which it reads again
BUFFER_LIMIT = 1024 * 1024  # maximum of unsent bytes per session: recv never requests more than the free space
EVENTS_PER_TURN = 256  # maximum per epoll_wait, so that timers and the listener wait for at most this many events

READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class EventLoopConfig(ServerOptions):
    """Settings of `event_loop`."""

    model: Literal["event_loop"]


class EpollSession(EventDrivenSession):
    """A connection and its send buffer. Loop thread only.

    Attributes:
        unsent: reply bytes that the kernel has not taken.
        is_held: reading is paused, because `unsent` reached the high-water mark and has not fallen to the low one yet.
        watched: the events for which the socket is registered with epoll.
    """

    __slots__ = ("fd", "is_held", "recv", "send", "unsent", "watched")

    def __init__(self, connection: Connection, limits: SessionLimits) -> None:
        super().__init__(connection, limits)
        self.fd = connection.sock.fileno()
        self.recv = connection.sock.recv
        self.send = connection.sock.send if limits.config.reply == "coalesced" else self._send_each_byte
        self.unsent = bytearray()
        self.is_held = False
        self.watched = READ

    @override
    def unsent_bytes(self) -> int:
        return len(self.unsent)

    def wanted_events(self) -> int:
        """Return the events to watch for now."""
        reads = not (self.eof or self.is_held or self.steps_left)
        return (READ if reads else 0) | (WRITE if self.unsent else 0)

    def _send_each_byte(self, data: bytes | bytearray) -> int:
        send = self.connection.sock.send
        for position in range(len(data)):
            try:
                send(data[position : position + 1])
            except BlockingIOError:
                if position:
                    return position
                raise
        return len(data)


class EventLoop(EventDrivenServer[EpollSession]):
    """One thread, epoll and non-blocking sockets: a slow peer delays no other, CPU work delays all."""

    Config = EventLoopConfig

    def __init__(self, config: EventLoopConfig, recorder: Recorder | None = None) -> None:
        super().__init__(config, recorder)
        self._read_bytes = config.read_bytes
        self._sessions: dict[int, EpollSession] = {}  # by descriptor
        self._calls: deque[Callable[[], None]] = deque()  # from other threads
        self._now = 0  # instant of the last epoll_wait
        self._ended = False

    # --- any thread ----------------------------------------------------------------------------------------------

    @override
    def set_up(self) -> None:
        self._waker = Waker()
        self.resources.callback(self._waker.close)
        self._epoll = self.resources.enter_context(select.epoll())
        self._epoll.register(self._waker.receiver, READ)
        self._epoll.register(self.timers.fd, READ)

    @override
    def in_loop(self, callback: Callable[[], None]) -> None:
        self._calls.append(callback)
        self._waker.wake()

    # --- the loop ------------------------------------------------------------------------------------------------

    @override
    def run_loop(self) -> None:
        try:
            while not self._ended:
                self._turn()
        finally:
            self.end_all(ServerOutcome.ERROR)

    @override
    def end_loop(self) -> None:
        self._ended = True

    def _turn(self) -> None:
        events = self._epoll.poll(None, EVENTS_PER_TURN)
        self._now = now_ns()
        for fd, mask in events:
            session = self._sessions.get(fd)
            if session is None:
                self._on_own_descriptor(fd)
            elif mask == READ:
                self._attempt(self._receive, session)
            else:
                self._attempt(partial(self._on_events, mask), session)

    def _on_own_descriptor(self, fd: int) -> None:
        if fd == self.timers.fd:
            self.timers.ready()
        elif fd != self._waker.receiver.fileno():
            self.accept_some()
        else:
            self._waker.clear()
            for _ in range(len(self._calls)):
                self._calls.popleft()()

    @override
    def watch(self, listener: socket.socket) -> None:
        self._epoll.register(listener, READ)

    @override
    def unwatch(self, listener: socket.socket) -> None:
        self._epoll.unregister(listener)

    # --- one session ------------------------------------------------------------------------------------------------

    @override
    def begin(self, connection: Connection) -> None:
        session = EpollSession(connection, self.limits)
        self._sessions[session.fd] = session
        self._attempt(self._greet, session)

    def _greet(self, session: EpollSession) -> None:
        connection = session.connection
        connection.sock.setblocking(False)
        if self.config.nodelay:
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._epoll.register(session.fd, session.watched)
        self.deadlines.set(session, session.due_ns())
        self.recorder.started(connection.record, WORKER)
        self._send(session, GREETING)

    def _attempt(self, action: Callable[[EpollSession], None], session: EpollSession) -> None:
        """Call `action`; an error ends this session and no other."""
        try:
            action(session)
        except OSError:  # ECONNRESET, EPIPE, ENOTCONN and similar: the peer is gone
            self.end(session, ServerOutcome.RESET)
        except Exception as error:
            self.recorder.event("error", f"serving failed: {type(error).__name__}: {error}")
            self.end(session, ServerOutcome.ERROR)

    def _receive(self, session: EpollSession) -> None:
        room = BUFFER_LIMIT - len(session.unsent)
        try:
            data = session.recv(self._read_bytes if self._read_bytes < room else room)
        except BlockingIOError:
            return
        if not data:
            session.eof = True
            self._settle(session)
            return
        session.active_ns = self._now
        session.bytes_in += len(data)
        if self.limits.works:
            session.steps_left = session.steps(data)
            self._go_on(session)
        elif reply := session.engine.receive(data):
            self._send(session, reply)

    def _go_on(self, session: EpollSession) -> None:
        """Run the remaining steps up to the next sleep; the socket is not read until all are done."""
        if session.connection.ended or session.steps_left is None:
            return
        for step in session.steps_left:
            if isinstance(step, float):
                self.call_at(now_ns() + int(step * NS_PER_S), partial(self._attempt, self._go_on, session))
                self._settle(session)
                return
            self._send(session, step)
        session.steps_left = None
        session.active_ns = self._now = now_ns()
        self._settle(session)

    def _send(self, session: EpollSession, reply: bytes) -> None:
        if not session.unsent:
            try:
                sent = session.send(reply)
            except BlockingIOError:
                sent = 0
            session.written += sent
            if sent == len(reply):
                return
            reply = reply[sent:]
        self._buffer(session, reply)

    def _buffer(self, session: EpollSession, reply: bytes) -> None:
        """Buffer a reply that the kernel has no room for."""
        is_first = not session.unsent
        session.unsent += reply
        session.written += len(reply)
        if is_first:
            session.begin_unsent()
            self.deadlines.set(session, session.due_ns())
        session.is_held = session.is_held or len(session.unsent) >= HIGH_WATER
        self._settle(session)

    def _on_events(self, mask: int, session: EpollSession) -> None:
        if mask & WRITE:
            self._send_unsent(session)
        if session.connection.ended or not mask & ~WRITE:
            return
        if session.watched & READ:
            self._receive(session)
        else:  # EPOLLERR or EPOLLHUP, which epoll always reports: a reset while the socket is not read
            self.end(session, ServerOutcome.RESET)

    def _send_unsent(self, session: EpollSession) -> None:
        del session.unsent[: session.send(session.unsent)]
        session.is_held = session.is_held and len(session.unsent) > LOW_WATER
        session.active_ns = self._now
        self._settle(session)

    def _settle(self, session: EpollSession) -> None:
        """End the session if it is complete, else update the watched events. Called after each change of state."""
        if session.eof and session.steps_left is None and not session.unsent:
            self.end(session, ServerOutcome.COMPLETED)
        elif (wanted := session.wanted_events()) != session.watched:
            session.watched = wanted
            self._epoll.modify(session.fd, wanted)

    @override
    def end(self, session: EpollSession, outcome: ServerOutcome) -> None:
        if session.connection.ended:
            return
        del self._sessions[session.fd]
        self.deadlines.drop(session)
        with suppress(OSError):  # it is not registered if the registration failed
            self._epoll.unregister(session.fd)
        session.complete_record()
        self.connections.close(session.connection, outcome)

    @override
    def end_all(self, outcome: ServerOutcome) -> None:
        for session in list(self._sessions.values()):
            self.end(session, outcome)
