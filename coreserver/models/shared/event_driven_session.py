"""One connection of an event-driven server: protocol, work, counts and limits, without input and output.

A blocking server keeps all this on a thread's stack: the place in the message, the work in progress, the time of the
last input. An event loop returns from every call, so this state must be an object.
"""

from __future__ import annotations

import select
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from coreserver.clock import NS_PER_S, now_ns
from coreserver.config.server import NoWork, ServerOptions
from coreserver.models.shared.open_connections import Connection, unacknowledged_bytes
from coreserver.models.shared.service_time import burn, demands, per_connection, per_message
from coreserver.protocols.article import ProtocolEngine
from coreserver.records.server import ServerOutcome

Step = bytes | float  # a reply to send now, or seconds to wait before the next step
LOOK_S = 1.0  # longest interval between two checks of a connection with unsent replies


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Settings that all sessions of a server share; durations in nanoseconds, None for no limit.

    `works` tells whether messages or connections need work; `look_ns` is the interval between two checks of a
    connection with unsent replies.
    """

    config: ServerOptions
    cutting_off: threading.Event  # ends work that burns CPU
    works: bool
    idle_ns: int | None
    write_ns: int | None
    look_ns: int
    session_ns: int | None

    @classmethod
    def of(cls, config: ServerOptions, cutting_off: threading.Event) -> SessionLimits:
        """Return the limits that `config` sets."""
        return cls(
            config=config,
            cutting_off=cutting_off,
            works=not isinstance(config.work, NoWork),
            idle_ns=_ns(config.idle_timeout_s),
            write_ns=_ns(config.write_timeout_s),
            look_ns=int(min(LOOK_S, (config.write_timeout_s or LOOK_S * 8) / 8) * NS_PER_S),
            session_ns=_ns(config.max_session_s),
        )


def _ns(span_s: float | None) -> int | None:
    return None if span_s is None else int(span_s * NS_PER_S)


class EventDrivenSession(ABC):
    """One connection from its greeting to its end, without input and output. Loop thread only.

    The server's loop receives and sends. It asks the session for the steps that input needs, and calls `overdue` at the
    time that `due_ns` returns. The session never reads, writes or closes the socket, and never blocks except in CPU
    work.

    The write timeout applies while replies are unsent, no timeout during work, and the idle timeout otherwise. The
    session limit always applies.

    Attributes:
        steps_left: remaining steps for the last input; None if there are none.
        eof: whether the peer has closed its side.
        bytes_in: bytes received.
        written: reply bytes produced so far: those that the kernel has taken and those that are still buffered.
        active_ns: instant of the last input or of the end of the last work; the idle timeout counts from here.
    """

    __slots__ = (
        "_demands",
        "_ends_ns",
        "_mark",
        "_owes_connection_work",
        "_per_message",
        "_progress_ns",
        "active_ns",
        "bytes_in",
        "connection",
        "engine",
        "eof",
        "limits",
        "steps_left",
        "written",
    )

    def __init__(self, connection: Connection, limits: SessionLimits) -> None:
        config = limits.config
        self.connection = connection
        self.limits = limits
        self.engine = ProtocolEngine()
        self.steps_left: Iterator[Step] | None = None
        self.eof = False
        self.bytes_in = 0
        self.written = 0
        self.active_ns = now_ns()
        self._ends_ns = None if limits.session_ns is None else self.active_ns + limits.session_ns
        self._progress_ns = 0
        self._mark = (0, 0)
        self._per_message = per_message(config.work)
        self._owes_connection_work = per_connection(config.work)
        self._demands = demands(config.work, config.seed, connection.record.number)

    @abstractmethod
    def unsent_bytes(self) -> int:
        """Return how many reply bytes the kernel has not taken."""

    # --- the work, step by step --------------------------------------------------------------------------------------

    def steps(self, data: bytes) -> Iterator[Step]:
        """Yield the steps that `data` needs; CPU work is done between them, in this thread.

        Only used if `limits.works` is true; without work a server calls the engine directly.
        """
        if not self._per_message:
            if reply := self.engine.receive(data):
                yield from self._connection_work()
                yield reply
            return
        for opens_message, reply in self.engine.receive_by_message(data):
            if opens_message:
                yield from self._work()
            if reply:
                yield reply

    def _connection_work(self) -> Iterator[float]:
        if self._owes_connection_work:
            self._owes_connection_work = False
            yield from self._work()

    def _work(self) -> Iterator[float]:
        demand = next(self._demands)
        if demand.cpu_s:
            burn(demand.cpu_s, self._must_end)
        if demand.sleep_s:
            yield demand.sleep_s

    def _must_end(self) -> bool:
        return self.limits.cutting_off.is_set() or (self._ends_ns is not None and now_ns() >= self._ends_ns)

    # --- the timeouts ----------------------------------------------------------------------------------------------

    def begin_unsent(self) -> None:
        """Start the write timeout. Called when the kernel has taken only a part of a reply."""
        self._progress_ns = now_ns()
        self._mark = self._progress()

    def due_ns(self) -> int | None:
        """Return when to call `overdue` next; None if no limit can be exceeded before the next event."""
        limits, now = self.limits, now_ns()
        due = None
        if self.unsent_bytes() and limits.write_ns is not None:
            due = now + limits.look_ns
        elif limits.idle_ns is not None:
            due = (now if self._is_busy() else self.active_ns) + limits.idle_ns
        if self._ends_ns is not None:
            due = self._ends_ns if due is None else min(due, self._ends_ns)
        return due

    def overdue(self) -> ServerOutcome | None:
        """Return the outcome of the limit that this connection has exceeded, if any."""
        limits, now = self.limits, now_ns()
        if self._ends_ns is not None and now >= self._ends_ns:
            return ServerOutcome.SESSION_TIMEOUT
        if self.unsent_bytes():
            return self._overdue_write(now)
        if limits.idle_ns is None or self._is_busy() or now - self.active_ns < limits.idle_ns:
            return None
        if _has_input(self.connection.sock):
            # After a busy period the loop may run this timer before it reads the data that has arrived.
            self.active_ns = now
            return None
        return ServerOutcome.IDLE_TIMEOUT

    def _overdue_write(self, now: int) -> ServerOutcome | None:
        mark = self._progress()
        if mark != self._mark:
            self._mark, self._progress_ns = mark, now
        elif self.limits.write_ns is not None and now - self._progress_ns >= self.limits.write_ns:
            return ServerOutcome.WRITE_TIMEOUT
        return None

    def _progress(self) -> tuple[int, int]:
        """Return the numbers of bytes that the kernel has taken and that the peer has acknowledged; both only grow.

        The send buffer is freed in large steps, so the second shows progress of a slow reader long before the first.
        """
        taken = self.written - self.unsent_bytes()
        return taken, taken - unacknowledged_bytes(self.connection.sock)

    def _is_busy(self) -> bool:
        return self.steps_left is not None or self.unsent_bytes() > 0

    # --- the end -------------------------------------------------------------------------------------------------

    def complete_record(self) -> None:
        """Write the final counts into the connection's record."""
        record = self.connection.record
        record.bytes_in = self.bytes_in
        record.bytes_out = self.written - self.unsent_bytes()
        record.messages = self.engine.messages_finished


def _has_input(sock: socket.socket) -> bool:
    """Return whether recv would not block. Uses poll(2), because recv would consume the error of a reset."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
