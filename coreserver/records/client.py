"""What a client process notes of every connection and message, and hands back as its result.

All stamps are monotonic nanoseconds of the lab's one clock; None is "not reached". Nothing is rounded or folded here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class ClientOutcome(StrEnum):
    """How a connection ended, as its client saw it."""

    COMPLETED = "completed"  # did all it was asked to do and every reply was right
    REFUSED = "refused"  # connect was refused, or the peer closed cleanly before any greeting
    RESET = "reset"  # reset by the peer, or closed by it before the script's end
    TIMED_OUT = "timed_out"  # no progress towards greeting or reply within timeout_s
    CORRUPTED = "corrupted"  # a byte came back that the protocol does not allow here
    NOT_STARTED = "not_started"  # never tried to connect: cancelled first, or the machine refused a socket
    SELF_CONNECT = "self_connect"  # the kernel connected the socket to itself (ephemeral target port)
    CANCELLED = "cancelled"  # the run was cancelled while this client was at work


class LogKind(StrEnum):
    """The lines of the article's client log."""

    CONNECTED = "connected"  # stamped at the greeting
    SENDING = "sending"
    RECEIVED = "received"
    DISCONNECTING = "disconnecting"


@dataclass(slots=True)
class LogEvent:
    """One line of a client's log; `data` is empty where the line shows none."""

    at_ns: int
    kind: LogKind
    data: bytes = b""


@dataclass(slots=True)
class MessageRecord:
    """One message `^…$` of a client.

    `due_ns` is when it was meant to be sent (a connection's first: when the connection was due), `sent_ns` when the
    send that completes its reply was handed to the kernel, `replied_ns` when the last byte of its reply was read and
    every byte of it had been right.
    """

    due_ns: int
    sent_ns: int
    replied_ns: int | None = None


@dataclass(slots=True)
class ClientRecord:
    """One client connection, from due to closed.

    `local` is the socket's own (address, port): with the order of connects it joins this record to the server's.
    `closed_ns` is stamped just before close() or shutdown(WR). `corrupted` counts wrong or unexpected reply bytes'
    connections at most once: the client stops reading at the first wrong byte and says in `detail` what it saw.

    What is due before `measured_from_ns` belongs to the warm-up of its group: the connection, or a message of it.
    Client processes keep messages in columns of their own; `messages` is filled in where their results are read.
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
        """Whether the connection was due before its group's warm-up had ended."""
        return self.due_ns < self.measured_from_ns


@dataclass(frozen=True, slots=True)
class GroupCount:
    """What became of a group's schedule: how many connections were planned, came due, and were begun."""

    name: str
    kind: str
    scheduled: int  # a closed group's reconnects are not planned: they count as they come due
    due: int
    started: int  # tried to connect; due ones that did not have the outcome not_started


@dataclass(frozen=True, slots=True)
class WorkerUsage:
    """How one client process fared. `lag_*_ms`: how late its loop was for a timer of every 10 ms, so how busy."""

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
    """What the client processes of a run deliver, put together.

    `started_ns` is the run's zero: every due time is counted from it; `started_wall_s` is the wall clock (Unix time)
    read at that same instant, the only wall stamp of the run. `cpu_s` is the CPU time of all client processes.
    `complete` is False when they were cut short (cancelled or dead) and the records are what was there so far.
    `schedule_sha256` is equal for runs of the same settings and seed. `stopped_by` names the limit at which clients
    stopped to begin anything new, if there was one.
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
