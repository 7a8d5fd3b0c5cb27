"""One client connection: connects, waits for the greeting, and checks every byte that comes back.

    start ──connect──▶ connected ──▶ greeted ──▶ …sends and replies… ──▶ ended (ClientOutcome)

Nothing is sent before `*` was seen. What a client says and when it has finished is for a subclass to decide; here is
what all of them share: sockets, stamps, the check, the timeout, and the name of every way to end. Clients read and
write their sockets by themselves (`poller.py` says why).
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
from coreserver.clients.worker.reply_check import Replies, shown
from coreserver.clock import now_ns
from coreserver.protocols.article import GREETING
from coreserver.records.client import ClientOutcome, ClientRecord, LogEvent, LogKind
from coreserver.records.place import Place

READ_BYTES = 65536
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


class ClientConnection(ABC):
    """A client from its due time to its end; `record` tells the whole story.

    `timeout_s` bounds how long the client waits for its greeting or for a reply without any progress. Only clients with
    `keeps_log` note every send and receive: an article's log is for a few of them.
    """

    keeps_log = False

    def __init__(self, stage: WorkerContext, record: ClientRecord, place: Place, *, timeout_s: float) -> None:
        self.record = record
        self._stage = stage
        self._timers = stage.timers
        self._timeouts = stage.timeouts(timeout_s)
        self._timeout_s = timeout_s
        self._index = stage.enter(record, place)
        self._phase: Phase | None = None
        self._sock: socket.socket | None = None
        self._is_connecting = False
        self._unsent = b""  # what the kernel has not yet taken
        self._reads = READ  # unless somebody paused it
        self.read_bytes = READ_BYTES  # most that are read at a time
        self.replies = Replies(stage.columns)
        self._progress_ns = 0  # last step towards greeting or reply, or the instant the wait for it began
        self._is_watched = False  # a look at the timeout is due

    @property
    def is_write_blocked(self) -> bool:
        """Whether the kernel has not yet taken all that was sent."""
        return bool(self._unsent)

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

    def socket_options(self) -> Sequence[tuple[int, int, int]]:
        """What to set on the socket before it connects, as setsockopt() takes it."""
        return ()

    def on_connected(self) -> bool:
        """TCP has connected; whether the client goes on to wait for its greeting."""
        return True

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
        for option in self.socket_options():
            sock.setsockopt(*option)
        self._is_connecting = True
        record.connect_start_ns = self._progress_ns = now_ns()
        failure = sock.connect_ex(stage.target.sockaddr)
        if failure == errno.EINPROGRESS:
            record.local = sock.getsockname()[:2]
            # On loopback the handshake is over by now, and asking again says so; it saves a turn of the loop.
            failure = sock.connect_ex(stage.target.sockaddr)
            if failure == errno.EALREADY:
                self._enter(Phase.CONNECTING)
                stage.poller.watch(sock.fileno(), WRITE, self.on_event)
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
        self.write(data)
        return sent_ns

    def write(self, data: bytes) -> None:
        """Hand `data` to the kernel as far as it takes it now, the rest when it takes more."""
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
            self.end(ClientOutcome.RESET, f"{_name(error.errno)} {self.where()}")
            return
        if taken < len(data):
            self._unsent = data[taken:]
            self._change(self._reads | WRITE)

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
        owed = self.replies.owed
        return f"with {owed} reply byte{'s' * (owed != 1)} owed"

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

    def pause_reading(self) -> None:
        """Read only when `read` is called."""
        self._reads = 0
        self._change(WRITE if self._unsent else 0)

    def read(self, at_most: int) -> None:
        """Read some bytes, if there are any, and do what follows from them."""
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
        """Say that nothing more will be sent. Only when the kernel has taken everything."""
        with contextlib.suppress(OSError):  # reset meanwhile: reading will tell
            cast(socket.socket, self._sock).shutdown(socket.SHUT_WR)

    def reset_at_close(self) -> None:
        """Close with a RST when it comes to that, whatever is still to be sent or read."""
        if self._sock is not None:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)

    # --- what happens to it --------------------------------------------------------------------------------------

    def on_event(self, events: int) -> None:
        """The socket is ready: for the poller to call."""
        if self._is_connecting:
            self._connected(cast(socket.socket, self._sock).getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            return
        if events & WRITE and self._unsent:
            self._write_on()
        if events & ~WRITE and self.record.outcome is None:
            self.read(self.read_bytes)

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

    # --- inside --------------------------------------------------------------------------------------------------

    def _write_on(self) -> None:
        rest, self._unsent = self._unsent, b""
        self.write(rest)
        if not self._unsent and self.record.outcome is None:  # the kernel has taken it all: the peer reads
            self._change(self._reads)
            self._progress_ns = now_ns()
            self.on_progress(self._progress_ns, b"")

    def _change(self, events: int) -> None:
        self._stage.poller.change(cast(socket.socket, self._sock).fileno(), events)

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
        was_waiting = self._phase is Phase.CONNECTING
        self._enter(Phase.WAITING)
        if not self.on_connected():
            return
        self._is_connecting = False
        self._watch()
        if was_waiting:
            self._change(READ)
        else:
            fd = cast(socket.socket, self._sock).fileno()
            self._stage.poller.watch(fd, READ, self.on_event)

    def _connect_failed(self, failure: int) -> None:
        outcome = _CONNECT_OUTCOMES.get(failure, ClientOutcome.REFUSED)
        if outcome is ClientOutcome.NOT_STARTED:
            self.record.connect_start_ns = None
        self.end(outcome, _name(failure))

    def _close(self) -> None:
        self.record.bytes_sent -= len(self._unsent)
        if self._sock is not None:
            self._stage.poller.forget(self._sock.fileno())
            self._sock.close()
        self._stage.tally.closed()

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


def _name(code: int | None) -> str:
    return errno.errorcode.get(code or 0, f"errno {code}")
