"""Records of a server: connections, outcomes, events and the facts about its design."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ServerOutcome(StrEnum):
    """How a connection ended from the server's side."""

    COMPLETED = "completed"  # the peer closed after every reply had been given to the kernel
    RESET = "reset"  # the peer reset the connection, or had closed it when a reply was sent
    IDLE_TIMEOUT = "idle_timeout"
    SESSION_TIMEOUT = "session_timeout"
    WRITE_TIMEOUT = "write_timeout"
    REFUSED = "refused"  # closed on purpose because the server was full
    CUT_OFF = "cut_off"  # still in flight when a drain or a stop reached its deadline
    ERROR = "error"  # internal error; the server's event list has the details


class Discipline(StrEnum):
    """Order in which a server takes waiting connections into service, from the backlog or from its own queue."""

    FIRST_COME_FIRST_SERVED = "first_come_first_served"  # the connection that has waited longest is next
    LAST_COME_FIRST_SERVED = "last_come_first_served"  # the newest connection is next


@dataclass(frozen=True, slots=True)
class DesignFacts:
    """Facts about a server's design that its records cannot show; the same for every server with the same settings.

    Attributes:
        discipline: None if connections do not wait in one queue: they never wait, or there are several queues.
        worker_names: names of serving threads that are known before the start; empty if each connection has its own
            thread; None if the design is unknown.
        runs_on_one_core: all threads share one interpreter lock, so the server uses one core at most.
    """

    discipline: Discipline | None = None
    worker_names: tuple[str, ...] | None = None
    runs_on_one_core: bool = True


UNKNOWN_DESIGN = DesignFacts()  # of an external server


@dataclass(slots=True)
class ConnectionRecord:
    """One connection from the server's side. Stamps are monotonic nanoseconds; None means "not (yet) reached".

    `peer` is the client's (address, port), which together with the order of arrival joins this record to the client's.
    `bytes_in`, `bytes_out` and `messages` are final when `finished_ns` is set; `bytes_out` counts the bytes that the
    kernel has taken, including the greeting.
    """

    number: int
    peer: tuple[str, int]
    accepted_ns: int
    started_ns: int | None = None
    finished_ns: int | None = None
    worker: str | None = None
    outcome: ServerOutcome | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    messages: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the server's event list."""

    at_ns: int
    kind: str
    detail: str
