"""Records of client processes: every connection, every message, and the result of the process.

All stamps are monotonic nanoseconds of the lab's clock; None means "not reached". Nothing is rounded or aggregated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class ClientOutcome(StrEnum):
    """How a connection ended from the client's side."""

    COMPLETED = "completed"  # the client has done everything, and every reply was right
    REFUSED = "refused"  # connect was refused, or the peer closed cleanly before any greeting
    RESET = "reset"  # reset by the peer, or closed by it too early
    TIMED_OUT = "timed_out"  # no progress towards greeting or reply within timeout_s
    CORRUPTED = "corrupted"  # received a byte that the protocol does not allow here
    NOT_STARTED = "not_started"  # never tried to connect: cancelled first, or no socket could be created
    SELF_CONNECT = "self_connect"  # the kernel connected the socket to itself (ephemeral target port)
    CANCELLED = "cancelled"  # the run was cancelled while this client was active


class LogKind(StrEnum):
    """Kinds of lines in the article's client log."""

    CONNECTED = "connected"  # stamped at the greeting
    SENDING = "sending"
    RECEIVED = "received"
    DISCONNECTING = "disconnecting"


@dataclass(slots=True)
class LogEvent:
    """One line of a client's log; `data` is empty if the line shows no data."""

    at_ns: int
    kind: LogKind
    data: bytes = b""


@dataclass(slots=True)
class MessageRecord:
    """One message `^…$` of a client.

    `due_ns` is the time at which it should be sent (first message: the time at which the connection was due), `sent_ns`
    the time of the send that completes its reply, `replied_ns` the time at which the last byte of a correct reply was
    read.
    """

    due_ns: int
    sent_ns: int
    replied_ns: int | None = None


@dataclass(slots=True)
class ClientRecord:
    """One client connection, from its due time to its close.

    `local` is the socket's own (address, port); together with the order of connecting it joins this record to the
    server's. `closed_ns` is stamped just before close() or shutdown(WR). A client stops reading at the first wrong or
    unexpected reply byte; `detail` then has the expected and the received bytes.

    A connection or message that is due before `measured_from_ns` belongs to the warm-up of its group. Client processes
    keep messages in columns; `messages` is filled in when their results are read.
    """

    name: str
    group: str
    due_ns: int
    connect_start_ns: int | None = None
    connected_ns: int | None = None
    greeted_ns: int | None = None
    closed_ns: int | None = None
    outcome: ClientOutcome | None = None
    detail: str = ""
    local: tuple[str, int] | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    messages: Sequence[MessageRecord] = ()
    log: list[LogEvent] = field(default_factory=list)
    measured_from_ns: int = 0

    @property
    def is_warm_up(self) -> bool:
        """Whether the connection was due before the end of its group's warm-up."""
        return self.due_ns < self.measured_from_ns


@dataclass(frozen=True, slots=True)
class GroupCount:
    """The numbers of connections of a group that were planned, were due, and were started."""

    name: str
    kind: str
    scheduled: int  # without the reconnects of a closed group, which are not planned
    due: int  # with these reconnects
    started: int  # tried to connect; due connections that did not have the outcome not_started


@dataclass(frozen=True, slots=True)
class WorkerUsage:
    """Use of one client process. `lag_*_ms`: lateness of its event loop for a timer of 10 ms, a measure of its load."""

    pid: int
    cpu_s: float  # from the run's start to its end
    elapsed_s: float
    lag_p50_ms: float
    lag_p99_ms: float
    lag_max_ms: float
    connections: int
    messages: int


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The merged results of the client processes of a run.

    `started_ns` is the start of the run, from which every due time is counted; `started_wall_s` is the wall clock (Unix
    time) at the same instant, the only wall-clock time of the run. `cpu_s` is the CPU time of all client processes.
    `complete` is False if they ended early (cancelled or dead); the records are then partial. `schedule_sha256` is
    equal for runs with the same settings and seed. `stopped_by` names the limit after which clients started no more
    connections, if it was reached.
    """

    started_ns: int
    started_wall_s: float
    ended_ns: int
    cpu_s: float
    records: list[ClientRecord]
    complete: bool = True
    groups: tuple[GroupCount, ...] = ()
    workers: tuple[WorkerUsage, ...] = ()
    schedule_sha256: str | None = None
    stopped_by: str | None = None
