"""One connection served with blocking calls, for designs in which a connection has a thread until it ends.

The kernel enforces the timeouts (SO_RCVTIMEO, SO_SNDTIMEO): a Python socket timeout would add a poll(2) to every call.
Another thread ends a session early by shutting the socket down, which wakes a blocked recv or send immediately.
"""

from __future__ import annotations

import socket
import struct
import threading

from coreserver.clock import NS_PER_S, now_ns
from coreserver.config.server import ServerOptions
from coreserver.models.shared.open_connections import Connection, unacknowledged_bytes
from coreserver.models.shared.service_time import burn, demands, per_connection, per_message
from coreserver.protocols.article import GREETING, ProtocolEngine
from coreserver.records.server import ServerOutcome

SEND_SLICE_S = 1.0  # longest interval between two checks of the limits during a blocked send


class _SessionEnded(Exception):
    """Ends the session with this outcome."""

    def __init__(self, outcome: ServerOutcome) -> None:
        self.outcome = outcome


class BlockingSession:
    """One connection from its greeting to its end, in the thread that calls `run`.

    Peers that reset, stall or exceed a limit are outcomes, never exceptions. The session never closes the socket. It
    has no lock: another thread ends it only by shutting the socket down and setting `cut_off`.

    Args:
        connection: an accepted connection; the counts in its record are complete when `run` returns.
        config: the server's settings.
        cut_off: set when the server cuts off its connections; ends work that sleeps or burns CPU.
    """

    def __init__(self, connection: Connection, config: ServerOptions, cut_off: threading.Event) -> None:
        self._sock = connection.sock
        self._record = connection.record
        self._config = config
        self._cut_off = cut_off
        self._engine = ProtocolEngine()
        self._bytes_in = 0
        self._bytes_out = 0
        self._per_message = per_message(config.work)
        self._owes_connection_work = per_connection(config.work)
        self._demands = demands(config.work, config.seed, connection.record.number)
        write_timeout_s = config.write_timeout_s
        self._write_timeout_ns = None if write_timeout_s is None else int(write_timeout_s * NS_PER_S)
        self._send_slice_s = SEND_SLICE_S if write_timeout_s is None else min(SEND_SLICE_S, write_timeout_s / 8)
        self._is_plain = config.work.kind == "none" and config.reply == "coalesced" and config.max_session_s is None
        self._ends_ns = None if config.max_session_s is None else now_ns() + int(config.max_session_s * NS_PER_S)

    def run(self) -> ServerOutcome:
        """Serve until the peer closes or resets the connection, or a limit is exceeded; return the outcome. Blocks."""
        try:
            self._prepare()
            self._send(GREETING)
            self._echo() if self._is_plain else self._serve()
            return ServerOutcome.COMPLETED
        except _SessionEnded as ended:
            return ended.outcome
        except OSError:  # ECONNRESET, EPIPE, ENOTCONN and similar: the peer is gone
            return ServerOutcome.RESET
        finally:
            self._record.bytes_in = self._bytes_in
            self._record.bytes_out = self._bytes_out
            self._record.messages = self._engine.messages_finished

    def _prepare(self) -> None:
        if self._config.nodelay:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._limit(socket.SO_RCVTIMEO, self._config.idle_timeout_s)
        self._limit(socket.SO_SNDTIMEO, self._send_slice_s)

    def _limit(self, option: int, timeout_s: float | None) -> None:
        """Limit the blocking calls of one direction to `timeout_s` and to the time left of the session."""
        if self._ends_ns is not None:
            left_s = (self._ends_ns - now_ns()) / NS_PER_S
            timeout_s = left_s if timeout_s is None else min(timeout_s, left_s)
        if timeout_s is not None:
            microseconds = max(1, int(timeout_s * 1_000_000))  # 0 would mean no limit
            self._sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", *divmod(microseconds, 1_000_000)))

    def _echo(self) -> None:
        """Serve a session without work, reply splitting or session limit.

        The interpreter lock is shared, so every call costs time in all sessions. This loop makes as few calls as
        possible: sending and counting are inlined.
        """
        recv, send, answer, most = self._sock.recv, self._sock.send, self._engine.receive, self._config.read_bytes
        received = replied = 0
        try:
            while data := recv(most):
                received += len(data)
                if reply := answer(data):
                    try:
                        sent = send(reply)
                    except BlockingIOError:
                        sent = 0
                    replied += sent
                    if sent < len(reply):
                        self._send_rest(memoryview(reply)[sent:])
        except BlockingIOError:
            raise _SessionEnded(ServerOutcome.IDLE_TIMEOUT) from None
        finally:
            self._bytes_in += received
            self._bytes_out += replied

    def _serve(self) -> None:
        """Serve a session with work, replies byte by byte, or a session limit."""
        while data := self._receive():
            self._bytes_in += len(data)
            self._reply_to(data)

    def _check_session(self) -> None:
        if self._ends_ns is not None and now_ns() >= self._ends_ns:
            raise _SessionEnded(ServerOutcome.SESSION_TIMEOUT)

    def _receive(self) -> bytes:
        if self._ends_ns is not None:
            self._check_session()
            self._limit(socket.SO_RCVTIMEO, self._config.idle_timeout_s)
        try:
            return self._sock.recv(self._config.read_bytes)
        except BlockingIOError:
            self._check_session()
            raise _SessionEnded(ServerOutcome.IDLE_TIMEOUT) from None

    def _reply_to(self, data: bytes) -> None:
        if not self._per_message:
            reply = self._engine.receive(data)
            if reply:
                if self._owes_connection_work:
                    self._owes_connection_work = False
                    self._work()
                self._send_reply(reply)
            return
        for opens_message, reply in self._engine.receive_by_message(data):
            if opens_message:
                self._work()
            self._send_reply(reply)

    def _work(self) -> None:
        demand = next(self._demands)
        if demand.cpu_s:
            burn(demand.cpu_s, self._must_end)
        left_s = demand.sleep_s if self._ends_ns is None else (self._ends_ns - now_ns()) / NS_PER_S
        if self._cut_off.wait(max(0.0, min(demand.sleep_s, left_s))):
            raise _SessionEnded(ServerOutcome.CUT_OFF)
        self._check_session()

    def _must_end(self) -> bool:
        return self._cut_off.is_set() or (self._ends_ns is not None and now_ns() >= self._ends_ns)

    def _send_reply(self, reply: bytes) -> None:
        if self._config.reply == "coalesced":
            self._send(reply)
        else:
            for position in range(len(reply)):
                self._send(reply[position : position + 1])

    def _send(self, data: bytes) -> None:
        self._limit_send()
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        self._bytes_out += sent
        if sent < len(data):
            self._send_rest(memoryview(data)[sent:])

    def _limit_send(self) -> None:
        if self._ends_ns is not None:
            self._check_session()
            self._limit(socket.SO_SNDTIMEO, self._send_slice_s)

    def _send_rest(self, view: memoryview) -> None:
        """Send the bytes that the first send left over, as long as the peer makes progress."""
        progress_ns = now_ns() - int(self._send_slice_s * NS_PER_S)  # the previous send returned after a slice
        unacknowledged = unacknowledged_bytes(self._sock)
        while view:
            self._limit_send()  # in each turn, because a peer may read a few bytes at a time
            try:
                sent = self._sock.send(view)
            except BlockingIOError:
                # A slice of the timeout passed without room in the send buffer. The buffer is freed in large steps, so
                # progress of a slow reader shows in the bytes that it acknowledges (SIOCOUTQ), not in the buffer.
                now, left = now_ns(), unacknowledged_bytes(self._sock)
                if left < unacknowledged:
                    progress_ns, unacknowledged = now, left
                elif self._write_timeout_ns is not None and now - progress_ns >= self._write_timeout_ns:
                    raise _SessionEnded(ServerOutcome.WRITE_TIMEOUT) from None
            else:
                self._bytes_out += sent
                view = view[sent:]
                progress_ns, unacknowledged = now_ns(), unacknowledged_bytes(self._sock)
