"""One client connection: connects, waits for the greeting, and checks every byte that comes back.

    start ──connect──▶ connected ──▶ greeted ──▶ …sends and replies… ──▶ ended (ClientOutcome)

Nothing is sent before `*` was seen. What a client says and when it has finished is for a subclass to decide; here is
what all of them share: sockets, stamps, the check, the timeout, and the name of every way to end. It is an asyncio
Protocol rather than a stream: streams cost three times the CPU, which would show as lateness.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from abc import ABC, abstractmethod
from typing import cast

from coreserver.clients.records import ClientOutcome, ClientRecord, LogEvent, LogKind
from coreserver.clients.replies import Replies, shown
from coreserver.clients.stage import Place, Stage
from coreserver.clients.tally import Phase
from coreserver.clock import now_ns
from coreserver.protocol import GREETING

LOGGED_BYTES = 1024  # of one send or receive; a log is for reading
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, 0 s

_CONNECT_OUTCOMES = {
    errno.ECONNRESET: ClientOutcome.RESET,
    errno.EPIPE: ClientOutcome.RESET,
    errno.ENOTCONN: ClientOutcome.RESET,
    errno.ETIMEDOUT: ClientOutcome.TIMED_OUT,
    errno.EADDRNOTAVAIL: ClientOutcome.NOT_STARTED,
    errno.ENOBUFS: ClientOutcome.NOT_STARTED,
    errno.ENOMEM: ClientOutcome.NOT_STARTED,
}


class CheckedConnection(asyncio.Protocol, ABC):
    """A client from its due time to its end; `record` tells the whole story.

    `timeout_s` bounds how long the client waits for its greeting or for a reply without any progress. Only clients with
    `keeps_log` note every send and receive: an article's log is for a few of them.
    """

    keeps_log = False

    def __init__(self, stage: Stage, record: ClientRecord, place: Place, *, timeout_s: float) -> None:
        self.record = record
        self._stage = stage
        self._timers = stage.timers
        self._timeouts = stage.timeouts(timeout_s)
        self._timeout_s = timeout_s
        self._index = stage.enter(record, place)
        self._phase: Phase | None = None
        self._sock: socket.socket | None = None
        self._is_connecting = False
        self._attaching: asyncio.Task[None] | None = None  # connected, and the loop's transport does not own it yet
        self._transport: asyncio.Transport | None = None
        self.replies = Replies(stage.columns)
        self.is_write_blocked = False  # the kernel has not yet taken all that was sent
        self._progress_ns = 0  # last step towards greeting or reply, or the instant the wait for it began
        self._is_watched = False  # a look at the timeout is due

    # --- what a kind of client supplies --------------------------------------------------------------------------

    @abstractmethod
    def on_greeted(self, at_ns: int) -> None:
        """The service began: the client may send."""

    @abstractmethod
    def on_progress(self, at_ns: int, reply: bytes) -> None:
        """`reply` came and was right; empty when it is room to write that came."""

    @abstractmethod
    def is_waiting_for_peer(self) -> bool:
        """Whether the greeted client can go on only when its peer acts; a deliberate pause is no such wait."""

    def prepare(self, sock: socket.socket) -> None:
        """The socket is about to connect: set what must be set before."""

    def on_connected(self) -> bool:
        """TCP has connected; whether the client goes on to wait for its greeting."""
        return True

    def on_ended(self) -> None:
        """The client has ended, with the outcome of its record."""

    # --- what it can use -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect now."""
        record, stage = self.record, self._stage
        if len(stage.open) >= stage.most_open:
            self.end(ClientOutcome.NOT_STARTED, f"RLIMIT_NOFILE: {stage.most_open} connections are open already")
            return
        stage.open[self] = None
        try:
            sock = stage.target.open_socket(self._index)
        except OSError as error:
            self.end(ClientOutcome.NOT_STARTED, _name(error.errno))
            return
        self._sock = sock
        self.prepare(sock)
        self._is_connecting = True
        record.connect_start_ns = self._progress_ns = now_ns()
        failure = sock.connect_ex(stage.target.sockaddr)
        if failure == errno.EINPROGRESS:
            record.local = sock.getsockname()[:2]
            # On loopback the handshake is over by now, and asking again says so; it saves a turn of the loop.
            failure = sock.connect_ex(stage.target.sockaddr)
            if failure == errno.EALREADY:
                self._enter(Phase.CONNECTING)
                self._timers.loop.add_writer(sock, self._connect_ended)
                self._watch()
                return
        elif not failure:
            record.local = sock.getsockname()[:2]
        self._connected(failure)

    def send(self, data: bytes, reply: bytes) -> int:
        """Hand `data` to the kernel, which makes the peer owe `reply`; the instant it was handed over."""
        self.replies.owe(reply)
        self.record.bytes_sent += len(data)
        sent_ns = now_ns()
        if self.keeps_log:
            self._log(sent_ns, LogKind.SENDING, data)
        cast(asyncio.Transport, self._transport).write(data)
        return sent_ns

    def wait_for_peer(self, at_ns: int) -> None:
        """From `at_ns` on the client waits for its peer; without progress it times out."""
        self._progress_ns = at_ns
        self._watch()

    def where(self) -> str:
        """How far the client has come, for the detail of its outcome."""
        if self.record.connected_ns is None:
            return "while connecting"
        if self.record.greeted_ns is None:
            return "while waiting for the greeting"
        return f"with {self.replies.owed} reply bytes owed"

    def cancel(self) -> None:
        """End now, wherever the client is."""
        if self.record.connect_start_ns is None:
            self.end(ClientOutcome.NOT_STARTED, "cancelled before it connected")
        else:
            self.end(ClientOutcome.CANCELLED, f"cancelled {self.where()}")

    def end(self, outcome: ClientOutcome, detail: str = "") -> None:
        """Close, with `outcome`; only the first end counts."""
        record = self.record
        if record.outcome is not None:
            return
        record.outcome = outcome
        record.detail = detail
        if record.connect_start_ns is not None:
            if record.closed_ns is None:
                record.closed_ns = now_ns()
            if self.keeps_log and record.greeted_ns is not None:
                self._log(record.closed_ns, LogKind.DISCONNECTING)
        self._enter(Phase.COMPLETED if outcome is ClientOutcome.COMPLETED else Phase.FAILED)
        if self._is_watched:
            self._timeouts.forget(self)
        self._stage.open.pop(self, None)
        self._close()
        self.on_ended()

    def pause_reading(self) -> None:
        """Let nobody read but `read`."""
        cast(asyncio.Transport, self._transport).pause_reading()

    def read(self, at_most: int) -> None:
        """Read some bytes, if there are any, once `pause_reading` was called."""
        try:
            data = cast(socket.socket, self._sock).recv(at_most)
        except BlockingIOError:
            return
        except OSError as error:
            self.end(ClientOutcome.RESET, f"{_name(error.errno)} {self.where()}")
            return
        if data:
            self.data_received(data)
        else:
            self.eof_received()

    def close_own_side(self) -> None:
        """Say that nothing more will be sent, once all is."""
        cast(asyncio.Transport, self._transport).write_eof()

    def reset_at_close(self) -> None:
        """Close with a RST when it comes to that, whatever is still to be sent or read."""
        if self._sock is not None:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)

    # --- the loop calls these ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop reads from now on; bytes may come before `create_connection` has returned."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)  # so pause_writing means "the kernel did not take it all"

    def data_received(self, data: bytes) -> None:
        """Check what came, then let the client go on."""
        at_ns = now_ns()
        record = self.record
        if record.outcome is not None:
            return
        record.bytes_received += len(data)
        self._progress_ns = at_ns
        greeted_now = record.greeted_ns is None
        if greeted_now:
            if not data.startswith(GREETING):
                self.end(ClientOutcome.CORRUPTED, f"expected the greeting {GREETING!r}, saw {shown(data)}")
                return
            record.greeted_ns = at_ns
            if self.keeps_log:
                self._log(at_ns, LogKind.CONNECTED)
            self._enter(Phase.IN_SERVICE)
            data = data[len(GREETING) :]
        if data:
            if self.keeps_log:
                self._log(at_ns, LogKind.RECEIVED, data)
            if wrong := self.replies.take(data, at_ns):
                self.end(ClientOutcome.CORRUPTED, wrong)
                return
        if greeted_now:
            self.on_greeted(at_ns)
        else:
            self.on_progress(at_ns, data)

    def eof_received(self) -> None:
        """The peer closed its side, too early for us whenever we get to see it."""
        if self.record.greeted_ns is None:
            self.end(ClientOutcome.REFUSED, "closed by the peer without a greeting")
        else:
            self.end(ClientOutcome.RESET, f"closed by the peer {self.where()}")

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed: by us, or torn by the peer."""
        name = _name(exc.errno) if isinstance(exc, OSError) else str(exc)
        self.end(ClientOutcome.RESET, f"{name} {self.where()}")
        self._stage.tally.closed()

    def pause_writing(self) -> None:
        """The kernel's buffer is full."""
        self.is_write_blocked = True

    def resume_writing(self) -> None:
        """The kernel has taken everything: the peer reads, which is progress."""
        self.is_write_blocked = False
        if self.record.outcome is None:
            self._progress_ns = now_ns()
            self.on_progress(self._progress_ns, b"")

    # --- inside --------------------------------------------------------------------------------------------------

    def _connect_ended(self) -> None:
        sock = cast(socket.socket, self._sock)
        self._timers.loop.remove_writer(sock)
        self._connected(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def _connected(self, failure: int) -> None:
        connected_ns = now_ns()
        if failure:
            self._connect_failed(failure)
            return
        self.record.connected_ns = self._progress_ns = connected_ns
        # The local end of a connect to an idle port of the ephemeral range may be that very port: TCP's simultaneous
        # open then joins the socket to itself, and it would echo whatever we say.
        if self.record.local == self._stage.target.sockaddr:
            port = self._stage.target.sockaddr[1]
            self.end(ClientOutcome.SELF_CONNECT, f"the kernel chose the target's own port {port} for the client")
            return
        self._enter(Phase.WAITING)
        if not self.on_connected():
            return
        self._is_connecting = False
        self._watch()
        self._attaching = self._timers.loop.create_task(self._attach(cast(socket.socket, self._sock)))
        self._attaching.add_done_callback(_pass_on_failure)

    async def _attach(self, sock: socket.socket) -> None:
        transport, _ = await self._timers.loop.create_connection(lambda: self, sock=sock)
        # Had we closed earlier, uvloop would close the descriptor twice, the second time perhaps a stranger's.
        self._attaching = None
        if self.record.outcome is not None:
            transport.abort()

    def _connect_failed(self, failure: int) -> None:
        outcome = _CONNECT_OUTCOMES.get(failure, ClientOutcome.REFUSED)
        if outcome is ClientOutcome.NOT_STARTED:
            self.record.connect_start_ns = None
        self.end(outcome, _name(failure))

    def _close(self) -> None:
        if self._is_connecting:
            self._is_connecting = False
            sock = cast(socket.socket, self._sock)
            self._timers.loop.remove_writer(sock)
            sock.close()
            self._stage.tally.closed()
        elif self._attaching is not None:
            pass  # _attach closes
        elif self._transport is None:
            self._stage.tally.closed()
        elif self.record.outcome is ClientOutcome.COMPLETED:
            self._transport.close()
        else:
            self.record.bytes_sent -= self._transport.get_write_buffer_size()
            self._transport.abort()

    def _watch(self) -> None:
        if not self._is_watched:
            self._is_watched = True
            self._timeouts.watch(self, self._progress_ns)

    def waited(self, at_ns: int) -> None:
        """The timeout may have passed; for `Timeouts` to call."""
        self._is_watched = False
        greeted = self.record.greeted_ns is not None
        if self.record.outcome is not None or (greeted and not self.is_waiting_for_peer()):
            return
        if at_ns >= self._progress_ns + self._timeouts.timeout_ns:
            self.end(ClientOutcome.TIMED_OUT, f"no progress for {self._timeout_s:g} s {self.where()}")
        else:
            self._watch()

    def _enter(self, phase: Phase) -> None:
        self._stage.tally.moved(self.record, self._phase, phase)
        self._phase = phase

    def _log(self, at_ns: int, kind: LogKind, data: bytes = b"") -> None:
        self.record.log.append(LogEvent(at_ns, kind, data[:LOGGED_BYTES]))


def _pass_on_failure(task: asyncio.Task[None]) -> None:
    """A task's exception is a bug of ours; the loop's handler must hear of it now, not when the task is collected."""
    if not task.cancelled() and (error := task.exception()):
        task.get_loop().call_exception_handler({"message": "attaching a socket failed", "exception": error})


def _name(code: int | None) -> str:
    return errno.errorcode.get(code or 0, f"errno {code}")
