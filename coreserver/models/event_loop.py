"""One thread for every client: an event loop of our own on epoll(7).

    loop: wait for readiness ─ accept, or receive and reply ─ timers ─ wait …

No call blocks, so nobody waits for a slow peer, and 10,000 idle ones cost a little memory each. What a thread would
keep on its stack stands in a `Peer`. A reply goes to the kernel at once; only what it does not take is kept, and the
loop then waits for room as well. A peer that does not read its replies is not read from: its buffer ends at a
high-water mark, and the pressure reaches the peer through its own full send buffer.

What burns CPU blocks everybody: there is one thread.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Literal

from coreserver.clock import NS_PER_S, now_ns
from coreserver.config.server import ServerOptions
from coreserver.models.shared.accept_loop import Waker
from coreserver.models.shared.event_driven_server import WORKER, EventedServer
from coreserver.models.shared.event_driven_session import EventDrivenSession, SessionLimits
from coreserver.models.shared.open_connections import Connection
from coreserver.protocols.article import GREETING
from coreserver.records.server import ServerOutcome
from coreserver.telemetry.recorder import Recorder

HIGH_WATER = 256 * 1024  # unsent reply bytes at which we stop reading from a peer
LOW_WATER = 64 * 1024  # … and at which we go on
BUFFER_LIMIT = 1024 * 1024  # never more than this a peer: no recv asks for more than what still fits
EVENTS_PER_TURN = 256  # taken from one epoll_wait; timers and the listener wait little longer than these take

READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class EventLoopConfig(ServerOptions):
    """Settings of `event_loop`."""

    model: Literal["event_loop"]


class Peer(EventDrivenSession):
    """A connection and its buffer. Loop thread only.

    Attributes:
        unsent: reply bytes that the kernel has not taken.
        is_held: not read from, because `unsent` reached the high-water mark and has not yet come down to the low one.
        watched: what epoll watches for.
    """

    __slots__ = ("fd", "is_held", "recv", "send", "unsent", "watched")

    def __init__(self, connection: Connection, terms: SessionLimits) -> None:
        super().__init__(connection, terms)
        self.fd = connection.sock.fileno()
        self.recv = connection.sock.recv
        self.send = connection.sock.send if terms.config.reply == "coalesced" else self._send_each_byte
        self.unsent = bytearray()
        self.is_held = False
        self.watched = READ

    def unsent_bytes(self) -> int:
        """Reply bytes that the kernel has not taken."""
        return len(self.unsent)

    def wanted(self) -> int:
        """What to watch for now."""
        reads = not (self.eof or self.is_held or self.order)
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


class EventLoop(EventedServer[Peer]):
    """One thread, epoll, non-blocking sockets: nobody waits for a peer, everybody waits for CPU work."""

    Config = EventLoopConfig

    def __init__(self, config: EventLoopConfig, recorder: Recorder | None = None) -> None:
        super().__init__(config, recorder)
        self._read_bytes = config.read_bytes
        self._peers: dict[int, Peer] = {}  # by descriptor
        self._calls: deque[Callable[[], None]] = deque()  # from other threads
        self._now = 0  # when the last events were taken
        self._ended = False

    # --- any thread ----------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Make the epoll object and what wakes it."""
        self._waker = Waker()
        self.held.callback(self._waker.close)
        self._epoll = self.held.enter_context(select.epoll())
        self._epoll.register(self._waker.receiver, READ)
        self._epoll.register(self.timers.fd, READ)

    def in_loop(self, callback: Callable[[], None]) -> None:
        """Call it soon in the loop's thread."""
        self._calls.append(callback)
        self._waker.wake()

    # --- the loop ------------------------------------------------------------------------------------------------

    def run_loop(self) -> None:
        """Turn until told to end."""
        try:
            while not self._ended:
                self._turn()
        finally:
            self.end_all(ServerOutcome.ERROR)

    def end_loop(self) -> None:
        """This turn is the last."""
        self._ended = True

    def _turn(self) -> None:
        events = self._epoll.poll(None, EVENTS_PER_TURN)
        self._now = now_ns()
        for fd, mask in events:
            peer = self._peers.get(fd)
            if peer is None:
                self._serve_ourselves(fd)
            elif mask == READ:
                self._attempt(self._receive, peer)
            else:
                self._attempt(partial(self._on_events, mask), peer)

    def _serve_ourselves(self, fd: int) -> None:
        if fd == self.timers.fd:
            self.timers.ready()
        elif fd != self._waker.receiver.fileno():
            self.accept_some()
        else:
            self._waker.clear()
            for _ in range(len(self._calls)):
                self._calls.popleft()()

    def watch(self, listener: socket.socket) -> None:
        """Let epoll tell of connections to accept."""
        self._epoll.register(listener, READ)

    def unwatch(self, listener: socket.socket) -> None:
        """… or not."""
        self._epoll.unregister(listener)

    # --- one peer ------------------------------------------------------------------------------------------------

    def begin(self, connection: Connection) -> None:
        """Greet it; from here on epoll tells when it has something to say."""
        peer = Peer(connection, self.terms)
        self._peers[peer.fd] = peer
        self._attempt(self._greet, peer)

    def _greet(self, peer: Peer) -> None:
        connection = peer.connection
        connection.sock.setblocking(False)
        if self.config.nodelay:
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._epoll.register(peer.fd, peer.watched)
        self.deadlines.set(peer, peer.due_ns())
        self.recorder.started(connection.record, WORKER)
        self._send(peer, GREETING)

    def _attempt(self, action: Callable[[Peer], None], peer: Peer) -> None:
        """Do it; whatever goes wrong costs this peer its connection, and nobody else anything."""
        try:
            action(peer)
        except OSError:  # ECONNRESET, EPIPE, ENOTCONN and their kin: the peer is gone
            self.end(peer, ServerOutcome.RESET)
        except Exception as error:
            self.recorder.event("error", f"serving failed: {type(error).__name__}: {error}")
            self.end(peer, ServerOutcome.ERROR)

    def _receive(self, peer: Peer) -> None:
        room = BUFFER_LIMIT - len(peer.unsent)
        try:
            data = peer.recv(self._read_bytes if self._read_bytes < room else room)
        except BlockingIOError:
            return
        if not data:
            peer.eof = True
            self._settle(peer)
            return
        peer.active_ns = self._now
        peer.bytes_in += len(data)
        if self.terms.works:
            peer.order = peer.steps(data)
            self._go_on(peer)
        elif reply := peer.engine.receive(data):
            self._send(peer, reply)

    def _go_on(self, peer: Peer) -> None:
        """Take the next steps of the order, until it sleeps or is done; the peer is not read from meanwhile."""
        if peer.connection.ended or peer.order is None:
            return
        for step in peer.order:
            if isinstance(step, float):
                self.call_at(now_ns() + int(step * NS_PER_S), partial(self._attempt, self._go_on, peer))
                self._settle(peer)
                return
            self._send(peer, step)
        peer.order = None
        peer.active_ns = self._now = now_ns()
        self._settle(peer)

    def _send(self, peer: Peer, reply: bytes) -> None:
        if not peer.unsent:
            try:
                sent = peer.send(reply)
            except BlockingIOError:
                sent = 0
            peer.written += sent
            if sent == len(reply):
                return
            reply = reply[sent:]
        self._keep(peer, reply)

    def _keep(self, peer: Peer, reply: bytes) -> None:
        """The kernel has no room for this: send it when there is."""
        is_first = not peer.unsent
        peer.unsent += reply
        peer.written += len(reply)
        if is_first:
            peer.begin_unsent()
            self.deadlines.set(peer, peer.due_ns())
        peer.is_held = peer.is_held or len(peer.unsent) >= HIGH_WATER
        self._settle(peer)

    def _on_events(self, mask: int, peer: Peer) -> None:
        if mask & WRITE:
            self._send_unsent(peer)
        if peer.connection.ended or not mask & ~WRITE:
            return
        if peer.watched & READ:
            self._receive(peer)
        else:  # EPOLLERR or EPOLLHUP, which come unasked: a reset while we were not reading
            self.end(peer, ServerOutcome.RESET)

    def _send_unsent(self, peer: Peer) -> None:
        del peer.unsent[: peer.send(peer.unsent)]
        peer.is_held = peer.is_held and len(peer.unsent) > LOW_WATER
        peer.active_ns = self._now
        self._settle(peer)

    def _settle(self, peer: Peer) -> None:
        """After a change of state: end what is complete, watch for what is missing."""
        if peer.eof and peer.order is None and not peer.unsent:
            self.end(peer, ServerOutcome.COMPLETED)
        elif (wanted := peer.wanted()) != peer.watched:
            peer.watched = wanted
            self._epoll.modify(peer.fd, wanted)

    def end(self, peer: Peer, outcome: ServerOutcome) -> None:
        """Close it, whatever is still owed to it."""
        if peer.connection.ended:
            return
        del self._peers[peer.fd]
        self.deadlines.drop(peer)
        with suppress(OSError):  # not registered, if registering it is what failed
            self._epoll.unregister(peer.fd)
        peer.complete_record()
        self.connections.close(peer.connection, outcome)

    def end_all(self, outcome: ServerOutcome) -> None:
        """Close every peer that is left."""
        for peer in list(self._peers.values()):
            self.end(peer, outcome)
