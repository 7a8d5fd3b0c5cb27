"""The open connections of a server, and the limit on their number."""

from __future__ import annotations

import fcntl
import resource
import socket
import struct
import termios
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from coreserver.records.server import ConnectionRecord, ServerOutcome
from coreserver.telemetry.recorder import Recorder

RESERVED_DESCRIPTORS = 256  # for the control plane, its database, client pipes and listeners
EVENT_INTERVAL_S = 5.0  # minimum interval between two events about connections that are not served


def descriptors_for_connections() -> int:
    """Return how many of this process's descriptors its servers may use for connections.

    With a limit below 1,024 a quarter is reserved instead, so that some connections can still be served.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit - min(RESERVED_DESCRIPTORS, limit // 4)


class DescriptorBudget:
    """Descriptors for the connections of all servers of this process, shared among them as they accept.

    When none is left, the servers stop accepting, so that the control plane never runs out of descriptors.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards both below
        self._taken = 0
        self._waiting: set[Callable[[], None]] = set()

    def try_take(self, wake: Callable[[], None]) -> bool:
        """Take one descriptor; if none is left, return False and call `wake` once when there may be one again."""
        with self._lock:
            if self._taken < descriptors_for_connections():
                self._taken += 1
                return True
            self._waiting.add(wake)
            return False

    def give_back(self) -> None:
        """Return one descriptor and call every waiting `wake`."""
        with self._lock:
            self._taken -= 1
            wakes, self._waiting = self._waiting, set()
        for wake in wakes:
            wake()


BUDGET = DescriptorBudget()


class ConnectionLimit:
    """Limit on one server's connections: its own `limit`, and the descriptors left to all servers of the process.

    The accept loop reserves room for a connection before it accepts it, so a full server leaves it in the backlog.
    """

    def __init__(self, limit: int | None, budget: DescriptorBudget = BUDGET) -> None:
        self._limit = limit
        self._budget = budget
        self._lock = threading.Lock()  # guards both below
        self._held = 0
        self._reserved = False
        self.on_room: Callable[[], None] = lambda: None  # wakes the accept loop
        self.on_shortage: Callable[[], None] = lambda: None  # called at each attempt without a descriptor left

    def may_accept(self) -> bool:
        """Reserve room for one more connection until `enter`; return whether there is any. Accept thread only."""
        with self._lock:
            if self._reserved:
                return True
            if self._limit is not None and self._held >= self._limit:
                return False
            self._reserved = self._budget.try_take(self.on_room)
            if self._reserved:
                return True
        self.on_shortage()
        return False

    def enter(self) -> None:
        """Use the reserved room for an accepted connection."""
        with self._lock:
            self._reserved = False
            self._held += 1

    def leave(self) -> None:
        """Free the room of a closed connection."""
        with self._lock:
            was_full = self._limit is not None and self._held >= self._limit
            self._held -= 1
        self._budget.give_back()
        if was_full:
            self.on_room()

    def close(self) -> None:
        """Return an unused reservation."""
        with self._lock:
            reserved, self._reserved = self._reserved, False
        if reserved:
            self._budget.give_back()


@dataclass(slots=True, eq=False)
class Connection:
    """An accepted connection: its socket and record, whether it was cut off, and whether it is ending."""

    sock: socket.socket
    record: ConnectionRecord
    cut_off: bool = False
    ended: bool = False


class OpenConnections:
    """All connections of a server from accept to close. Any thread may call any method.

    Each connection must end with exactly one call of `close` or `release`, which frees its room. The lock also makes
    `cut_off_all` safe: it never shuts down a descriptor whose number was reused for another connection.
    """

    def __init__(self, recorder: Recorder, limit: ConnectionLimit) -> None:
        self._recorder = recorder
        self.limit = limit
        limit.on_shortage = self._report_shortage
        self._changed = threading.Condition()  # guards _open, and `cut_off` and `ended` of each connection
        self._open: set[Connection] = set()

    def accept(self, sock: socket.socket, peer: tuple[str, int]) -> Connection:
        """Register a socket that was just accepted; return its connection."""
        self.limit.enter()
        connection = Connection(sock, self._recorder.accepted(peer))
        with self._changed:
            self._open.add(connection)
        return connection

    def close(self, connection: Connection, outcome: ServerOutcome) -> None:
        """Close the socket and complete the record; the outcome is `cut_off` if the connection was cut off."""
        with self._changed:
            connection.ended = True  # from here on the descriptor's number may be reused
        connection.sock.close()
        self.release(connection, outcome)

    def release(self, connection: Connection, outcome: ServerOutcome) -> None:
        """Complete the record of a connection whose socket is closed already or will be closed by the caller."""
        with self._changed:
            connection.ended = True
        self._recorder.finished(connection.record, ServerOutcome.CUT_OFF if connection.cut_off else outcome)
        with self._changed:
            self._open.discard(connection)
            self._changed.notify_all()
        self.limit.leave()

    def cut_off_all(self) -> None:
        """Shut down every open connection: blocked reads and writes return immediately in every thread."""
        with self._changed:
            left = [connection for connection in self._open if not connection.ended]
            for connection in left:
                connection.cut_off = True
                with suppress(OSError):  # the peer may be gone already
                    connection.sock.shutdown(socket.SHUT_RDWR)
        if left:
            self._recorder.event("cut_off", f"connections still open: {len(left)}")

    def _report_shortage(self) -> None:
        held = descriptors_for_connections()
        reason = f"accept paused: all {held} descriptors that this process has for connections are in use"
        self._recorder.event("accept_paused", reason, every_s=EVENT_INTERVAL_S)

    def wait_empty(self, deadline_s: float) -> bool:
        """Wait at most `deadline_s` until no connection is open; return whether none is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, deadline_s)


def unacknowledged_bytes(sock: socket.socket) -> int:
    """Return the number of bytes that the kernel has taken and the peer has not acknowledged (SIOCOUTQ, tcp(7))."""
    count: int = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0]
    return count
