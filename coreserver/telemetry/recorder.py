"""The records of a server's connections, complete and unrounded, on the lab's clock.

A `Recorder` belongs to one server model. The threads that accept and serve stamp records; all other threads read
copies. Counts are kept for the life of the server, and records in a ring of the last MAX_RECENT connections. A run
receives every record through its own `Subscription`, which counts the records that were lost because it was not emptied
in time.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field, replace

from coreserver.clock import NS_PER_S, now_ns
from coreserver.records.server import ConnectionRecord, Event, ServerOutcome

MAX_RECENT = 4096
MAX_SUBSCRIBED = 200_000  # the connections of a run and a few others; at most about 60 MB


@dataclass(frozen=True, slots=True)
class Totals:
    """Connections counted since the server started; accepted == waiting + in_service + the sum of outcomes."""

    accepted: int
    waiting: int
    in_service: int
    outcomes: dict[str, int]
    events: dict[str, int]

    @property
    def active(self) -> int:
        """Connections accepted and not ended."""
        return self.waiting + self.in_service


@dataclass(slots=True)
class Subscription:
    """Queue of the records that ended since it was created and were not taken yet, at most `limit`.

    One thread takes, while the recorder adds.
    """

    limit: int = MAX_SUBSCRIBED
    lost: int = 0
    _records: deque[ConnectionRecord] = field(default_factory=deque)

    def offer(self, record: ConnectionRecord) -> None:
        """Keep `record`, or count it as lost. The recorder calls it under its lock."""
        if len(self._records) < self.limit:
            self._records.append(record)
        else:
            self.lost += 1

    def take(self) -> list[ConnectionRecord]:
        """Remove and return the records so far, in the order of their end."""
        # One at a time: if the queue were replaced, a record that `offer` adds at that moment could be lost.
        return [self._records.popleft() for _ in range(len(self._records))]


class Recorder:
    """Records, counts and events of the connections of one server model. Any thread may call any method.

    For each connection the accepting thread calls `accepted`, the serving thread `started`, and the thread that closes
    it `finished`, each once and in this order; `started` is omitted if it was never served. The thread that has the
    connection fills in the byte and message counts of its record before `finished`. One lock is held for each call, so
    `totals` is consistent at every instant. No method blocks on a peer or a reader: a subscription that is full loses
    records and counts them. Subclasses override the four methods that run under the lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards everything below
        self._accepted = 0
        self._started = 0
        self._waiting_ended = 0  # ended without having been started
        self._outcomes = dict.fromkeys(ServerOutcome, 0)
        self._open: dict[int, ConnectionRecord] = {}
        self._recent: deque[ConnectionRecord] = deque(maxlen=MAX_RECENT)
        self._events: deque[Event] = deque(maxlen=500)
        self._event_counts: dict[str, int] = {}
        self._noted_ns: dict[str, int] = {}  # when the last event of each kind was recorded
        self._subscriptions: list[Subscription] = []

    def accepted(self, peer: tuple[str, int]) -> ConnectionRecord:
        """Return a new record, stamped as accepted now."""
        with self._lock:
            return self._add(ConnectionRecord(self._accepted + 1, peer, now_ns()))

    def started(self, record: ConnectionRecord, worker: str) -> None:
        """Record that `worker` begins to serve the connection."""
        with self._lock:
            self._begin(record, worker, now_ns())

    def finished(self, record: ConnectionRecord, outcome: ServerOutcome) -> None:
        """Record the end of the connection; its record does not change afterwards."""
        with self._lock:
            self._end(record, outcome, now_ns())

    def event(self, kind: str, detail: str, *, every_s: float = 0.0) -> None:
        """Add a line to the event list, such as a refused connection.

        Args:
            every_s: minimum interval between events of this kind, so that many peers do not fill the list; events in
                between are dropped.
        """
        at_ns = now_ns()
        with self._lock:
            if kind not in self._noted_ns or at_ns - self._noted_ns[kind] >= every_s * NS_PER_S:
                self._noted_ns[kind] = at_ns
                self._note(Event(at_ns, kind, detail))

    # --- under the lock ------------------------------------------------------------------------------------------

    def _add(self, record: ConnectionRecord) -> ConnectionRecord:
        self._accepted += 1
        self._open[record.number] = record
        return record

    def _begin(self, record: ConnectionRecord, worker: str, at_ns: int) -> None:
        record.worker = worker
        record.started_ns = at_ns
        self._started += 1

    def _end(self, record: ConnectionRecord, outcome: ServerOutcome, at_ns: int) -> None:
        record.finished_ns = at_ns
        record.outcome = outcome
        if record.started_ns is None:
            self._waiting_ended += 1
        self._outcomes[outcome] += 1
        del self._open[record.number]
        self._recent.append(record)
        for subscription in self._subscriptions:
            subscription.offer(record)

    def _note(self, event: Event) -> None:
        self._events.append(event)
        self._event_counts[event.kind] = self._event_counts.get(event.kind, 0) + 1

    # --- copies for other threads --------------------------------------------------------------------------------

    def totals(self) -> Totals:
        """Return the current counts."""
        with self._lock:
            ended = sum(self._outcomes.values())
            in_service = self._started - (ended - self._waiting_ended)
            return Totals(
                accepted=self._accepted,
                waiting=len(self._open) - in_service,
                in_service=in_service,
                outcomes={outcome.value: count for outcome, count in self._outcomes.items()},
                events=dict(self._event_counts),
            )

    def open_connections(self) -> list[ConnectionRecord]:
        """Return copies of the records that have not ended, oldest first."""
        with self._lock:
            return [replace(record) for record in self._open.values()]

    def recent(self) -> list[ConnectionRecord]:
        """Return the records that ended last, oldest first, at most MAX_RECENT."""
        with self._lock:
            return list(self._recent)

    def events(self) -> list[Event]:
        """Return the last events, oldest first."""
        with self._lock:
            return list(self._events)

    def subscribe(self) -> Subscription:
        """Return a subscription that receives every record that ends from now on, until `unsubscribe`."""
        subscription = Subscription()
        with self._lock:
            self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop filling `subscription`; its records can still be taken."""
        with self._lock:
            self._subscriptions.remove(subscription)
