"""One client connection: connect, wait for the greeting, and check every reply byte.

    start ──connect──▶ connected ──▶ greeted ──▶ …sends and replies… ──▶ ended (ClientOutcome)

Nothing is sent before the greeting `*`. A subclass decides what to send and when to end. This module implements what
all clients share: sockets, time stamps, the check of replies, the timeout and the outcome. Clients read and write their
sockets without asyncio transports; `epoll.py` gives the reason.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import cast

from coreserver.clients.worker.context import WorkerContext
from coreserver.clients.worker.counts import Phase
from coreserver.clients.worker.epoll import READ, WRITE
from coreserver.clients.worker.reply_check import Replies, quote
from coreserver.clock import now_ns
from coreserver.protocols.article import GREETING
from coreserver.records.client import ClientOutcome, ClientRecord, LogEvent, LogKind
from coreserver.records.place import Place

READ_BYTES = 65536
MAX_LOGGED_BYTES = 1024  # of one send or receive; the log is for human readers
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


class ClientConnection(ABC):
    """One client connection from its due time to its end. Loop thread only; no method blocks.

    Subclasses, one per kind of client, override five hooks: `socket_options` and `on_connected` have defaults;
    `on_greeted`, `on_progress` and `is_waiting_for_peer` are required. They call `send`, `end` and the other methods
    below. Each client ends with exactly one outcome: refused, reset, wrong and missing replies are outcomes, never
    exceptions. `end` closes the socket; after it, no hook is called and no byte is sent.

    Args:
        context: state shared by all clients of the process.
        record: filled in while the client runs.
        place: the position of the connection in the run.
        timeout_s: the client times out after this long without progress while it waits for its greeting or a reply.

    Attributes:
        keeps_log: record every send and receive; for groups with few clients.
        replies: the expected replies.
        read_bytes: maximum number of bytes per read.
    """

    keeps_log = False

    def __init__(self, context: WorkerContext, record: ClientRecord, place: Place, *, timeout_s: float) -> None:
        self.record = record
        self._context = context
        self._timers = context.timers
        self._timeouts = context.timeouts(timeout_s)
        self._timeout_s = timeout_s
        self._index = context.enter(record, place)
        self._phase: Phase | None = None
        self._sock: socket.socket | None = None
        self._is_connecting = False
        self._unsent = b""  # data that the kernel has not taken yet
        self._reads = READ  # 0 while reading is paused
        self.read_bytes = READ_BYTES
        self.replies = Replies(context.columns)
        self._progress_ns = 0  # last step towards the greeting or a reply, or when the wait for it began
        self._is_watched = False  # a check of the timeout is due

    @property
    def is_write_blocked(self) -> bool:
        """Whether the kernel has not taken everything that was sent."""
        return bool(self._unsent)

    # --- hooks: what a kind of client overrides ------------------------------------------------------------------

    @abstractmethod
    def on_greeted(self, at_ns: int) -> None:
        """Begin to send: the greeting was received at `at_ns`."""

    @abstractmethod
    def on_progress(self, at_ns: int, reply: bytes) -> None:
        """Continue: `reply` was received and is correct, or it is empty and the kernel has taken the unsent data."""

    @abstractmethod
    def is_waiting_for_peer(self) -> bool:
        """Return whether the greeted client waits for its peer, so that the timeout applies."""

    def socket_options(self) -> Sequence[tuple[int, int, int]]:
        """Return options to set before connect(2): level, name and value of each, as for setsockopt(2)."""
        return ()

    def on_connected(self) -> bool:
        """Act on the established connection; return whether the client waits for its greeting."""
        return True

    # --- what a kind of client calls -----------------------------------------------------------------------------

    def start(self) -> None:
        """Connect now."""
        record, context = self.record, self._context
        if len(context.open) >= context.max_open:
            self.end(ClientOutcome.NOT_STARTED, f"RLIMIT_NOFILE: {context.max_open} connections are open already")
            return
        context.open[self] = None
        try:
            sock = context.target.open_socket(self._index)
        except OSError as error:
            self.end(ClientOutcome.NOT_STARTED, _name(error.errno))
            return
        self._sock = sock
        for option in self.socket_options():
            sock.setsockopt(*option)
        self._is_connecting = True
        record.connect_start_ns = self._progress_ns = now_ns()
        failure = sock.connect_ex(context.target.sockaddr)
        if failure == errno.EINPROGRESS:
            record.local = sock.getsockname()[:2]
            # On loopback the handshake is over by now; a second call shows it and saves a turn of the loop.
            failure = sock.connect_ex(context.target.sockaddr)
            if failure == errno.EALREADY:
                self._enter(Phase.CONNECTING)
                context.poller.watch(sock.fileno(), WRITE, self.on_event)
                self._watch()
                return
        elif not failure:
            record.local = sock.getsockname()[:2]
        self._connected(failure)

    def send(self, data: bytes, reply: bytes) -> int:
        """Send `data` and expect `reply`; return the time of the send."""
        self.replies.owe(reply)
        self.record.bytes_sent += len(data)
        sent_ns = now_ns()
        if self.keeps_log:
            self._log(sent_ns, LogKind.SENDING, data)
        self.write(data)
        return sent_ns

    def write(self, data: bytes) -> None:
        """Send `data` without recording it; data that the kernel does not take now is sent later."""
        if self.record.outcome is not None:
            return
        if self._unsent:
            self._unsent += data
            return
        try:
            taken = cast(socket.socket, self._sock).send(data)
        except BlockingIOError:
            taken = 0
        except OSError as error:
            self._unsent = data
            self.end(ClientOutcome.RESET, f"{_name(error.errno)} {self.describe_state()}")
            return
        if taken < len(data):
            self._unsent = data[taken:]
            self._change(self._reads | WRITE)

    def wait_for_peer(self, at_ns: int) -> None:
        """Apply the timeout from `at_ns` on."""
        self._progress_ns = at_ns
        self._watch()

    def describe_state(self) -> str:
        """Return the progress of the client as text, for the detail of its outcome."""
        if self.record.connected_ns is None:
            return "while connecting"
        if self.record.greeted_ns is None:
            return "while waiting for the greeting"
        owed = self.replies.owed
        return f"with {owed} reply byte{'s' * (owed != 1)} missing"

    def cancel(self) -> None:
        """End the client now, in any state."""
        if self.record.connect_start_ns is None:
            self.end(ClientOutcome.NOT_STARTED, "cancelled before it connected")
        else:
            self.end(ClientOutcome.CANCELLED, f"cancelled {self.describe_state()}")

    def end(self, outcome: ClientOutcome, detail: str = "") -> None:
        """Close the connection and record `outcome`; later calls do nothing."""
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
        self._context.open.pop(self, None)
        self._close()

    def pause_reading(self) -> None:
        """Stop receiving, except when `read` is called."""
        self._reads = 0
        self._change(WRITE if self._unsent else 0)

    def read(self, at_most: int) -> None:
        """Receive at most `at_most` bytes, if there are any, and process them."""
        try:
            data = cast(socket.socket, self._sock).recv(at_most)
        except BlockingIOError:
            return
        except OSError as error:
            self.end(ClientOutcome.RESET, f"{_name(error.errno)} {self.describe_state()}")
            return
        if data:
            self.data_received(data)
        else:
            self.eof_received()

    def close_own_side(self) -> None:
        """Shut down the sending side. The kernel must have taken everything (`is_write_blocked` is false)."""
        with contextlib.suppress(OSError):  # reset meanwhile; the next read reports it
            cast(socket.socket, self._sock).shutdown(socket.SHUT_WR)

    def reset_at_close(self) -> None:
        """Make the later close send a RST and discard all data that was not sent or read."""
        if self._sock is not None:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)

    # --- events --------------------------------------------------------------------------------------------------

    def on_event(self, events: int) -> None:
        """Handle a ready socket; called by the poller."""
        if self._is_connecting:
            self._connected(cast(socket.socket, self._sock).getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            return
        if events & WRITE and self._unsent:
            self._write_on()
        if events & ~WRITE and self.record.outcome is None:
            self.read(self.read_bytes)

    def data_received(self, data: bytes) -> None:
        """Check received bytes, then call `on_greeted` or `on_progress`."""
        at_ns = now_ns()
        record = self.record
        if record.outcome is not None:
            return
        record.bytes_received += len(data)
        self._progress_ns = at_ns
        greeted_now = record.greeted_ns is None
        if greeted_now:
            if not data.startswith(GREETING):
                self.end(ClientOutcome.CORRUPTED, f"expected the greeting {GREETING!r}, received {quote(data)}")
                return
            record.greeted_ns = at_ns
            if self.keeps_log:
                self._log(at_ns, LogKind.CONNECTED)
            self._enter(Phase.IN_SERVICE)
            data = data[len(GREETING) :]
        if data:
            if self.keeps_log:
                self._log(at_ns, LogKind.RECEIVED, data)
            if wrong := self.replies.check(data, at_ns):
                self.end(ClientOutcome.CORRUPTED, wrong)
                return
        if greeted_now:
            self.on_greeted(at_ns)
        else:
            self.on_progress(at_ns, data)

    def eof_received(self) -> None:
        """Handle the end of the peer's stream: too early, unless a subclass expects it and overrides this method."""
        if self.record.greeted_ns is None:
            self.end(ClientOutcome.REFUSED, "closed by the peer without a greeting")
        else:
            self.end(ClientOutcome.RESET, f"closed by the peer {self.describe_state()}")

    # --- internals -----------------------------------------------------------------------------------------------

    def _write_on(self) -> None:
        rest, self._unsent = self._unsent, b""
        self.write(rest)
        if not self._unsent and self.record.outcome is None:  # the kernel has taken everything, so the peer reads
            self._change(self._reads)
            self._progress_ns = now_ns()
            self.on_progress(self._progress_ns, b"")

    def _change(self, events: int) -> None:
        self._context.poller.change(cast(socket.socket, self._sock).fileno(), events)

    def _connected(self, failure: int) -> None:
        connected_ns = now_ns()
        if failure:
            self._connect_failed(failure)
            return
        self.record.connected_ns = self._progress_ns = connected_ns
        # The kernel may choose the target's own port, if nothing listens there, as the local port of a connect to the
        # ephemeral range. TCP's simultaneous open then connects the socket to itself, and it echoes what is sent.
        if self.record.local == self._context.target.sockaddr:
            port = self._context.target.sockaddr[1]
            self.end(ClientOutcome.SELF_CONNECT, f"the kernel chose the target's own port {port} for the client")
            return
        was_waiting = self._phase is Phase.CONNECTING
        self._enter(Phase.WAITING)
        self._is_connecting = False
        if was_waiting:
            self._change(READ)
        else:
            fd = cast(socket.socket, self._sock).fileno()
            self._context.poller.watch(fd, READ, self.on_event)
        if self.on_connected() and self.record.outcome is None:
            self._watch()

    def _connect_failed(self, failure: int) -> None:
        outcome = _CONNECT_OUTCOMES.get(failure, ClientOutcome.REFUSED)
        if outcome is ClientOutcome.NOT_STARTED:
            self.record.connect_start_ns = None
        self.end(outcome, _name(failure))

    def _close(self) -> None:
        self.record.bytes_sent -= len(self._unsent)
        if self._sock is not None:
            self._context.poller.forget(self._sock.fileno())
            self._sock.close()
        self._context.counts.count_closed()

    def _watch(self) -> None:
        if not self._is_watched:
            self._is_watched = True
            self._timeouts.watch(self, self._progress_ns)

    def on_timeout(self, at_ns: int) -> None:
        """End the client if it has made no progress for `timeout_s`; called by `Timeouts`."""
        self._is_watched = False
        greeted = self.record.greeted_ns is not None
        if self.record.outcome is not None or (greeted and not self.is_waiting_for_peer()):
            return
        if at_ns >= self._progress_ns + self._timeouts.timeout_ns:
            self.end(ClientOutcome.TIMED_OUT, f"no progress for {self._timeout_s:g} s {self.describe_state()}")
        else:
            self._watch()

    def _enter(self, phase: Phase) -> None:
        self._context.counts.move(self.record, self._phase, phase)
        self._phase = phase

    def _log(self, at_ns: int, kind: LogKind, data: bytes = b"") -> None:
        self.record.log.append(LogEvent(at_ns, kind, data[:MAX_LOGGED_BYTES]))


def _name(code: int | None) -> str:
    return errno.errorcode.get(code or 0, f"errno {code}")
