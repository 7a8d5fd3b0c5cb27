"""What a server records of each connection, whole and unrounded, on the lab's one clock.

A `Recorder` belongs to one server model. The threads that accept and serve stamp records; everybody else reads frozen
copies. Counts are kept for ever, records in a ring of the last `RING` connections, and a run takes every record it
needs through a `Subscription` of its own, which says how many it lost if it was not emptied in time.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field, replace

from coreserver.clock import NS_PER_S, now_ns
from coreserver.records.server import ConnectionRecord, Event, ServerOutcome

RING = 4096
SUBSCRIPTION_LIMIT = 200_000  # one run's connections and a few foreign ones; about 60 MB at the very most


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
        """Accepted and not yet ended."""
        return self.waiting + self.in_service


@dataclass(slots=True)
class Subscription:
    """The records that ended since it was opened, until taken; at most `limit` of them."""

    limit: int = SUBSCRIPTION_LIMIT
    lost: int = 0
    _records: deque[ConnectionRecord] = field(default_factory=deque)

    def offer(self, record: ConnectionRecord) -> None:
        """Keep `record`, or count it as lost. Called by the recorder, under its lock."""
        if len(self._records) < self.limit:
            self._records.append(record)
        else:
            self.lost += 1

    def take(self) -> list[ConnectionRecord]:
        """All records gathered so far, in the order they ended; they are forgotten here."""
        # One by one: swapping the whole queue could miss a record that `offer` adds to the old one meanwhile.
        return [self._records.popleft() for _ in range(len(self._records))]


class Recorder:
    """Stamps, counts and keeps the connections of one server model. Every method may be called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards everything below
        self._accepted = 0
        self._started = 0
        self._waiting_ended = 0  # ended without having been started
        self._outcomes = dict.fromkeys(ServerOutcome, 0)
        self._open: dict[int, ConnectionRecord] = {}
        self._recent: deque[ConnectionRecord] = deque(maxlen=RING)
        self._events: deque[Event] = deque(maxlen=500)
        self._event_counts: dict[str, int] = {}
        self._noted_ns: dict[str, int] = {}  # when there was last an event of that kind
        self._subscriptions: list[Subscription] = []

    def accepted(self, peer: tuple[str, int]) -> ConnectionRecord:
        """A new record, stamped as accepted now."""
        with self._lock:
            return self._add(ConnectionRecord(self._accepted + 1, peer, now_ns()))

    def started(self, record: ConnectionRecord, worker: str) -> None:
        """`worker` begins to serve this connection."""
        with self._lock:
            self._begin(record, worker, now_ns())

    def finished(self, record: ConnectionRecord, outcome: ServerOutcome) -> None:
        """The connection ended; its record is complete and never changes again."""
        with self._lock:
            self._end(record, outcome, now_ns())

    def event(self, kind: str, detail: str, *, every_s: float = 0.0) -> None:
        """Note something a person may want to know, such as a refused accept.

        Args:
            every_s: left out if the last one of its kind is not that old yet: a flood of peers must not flood the list.
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

    # --- for those who look --------------------------------------------------------------------------------------

    def totals(self) -> Totals:
        """The counts at one instant."""
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
        """Copies of the records not yet ended, oldest first."""
        with self._lock:
            return [replace(record) for record in self._open.values()]

    def recent(self) -> list[ConnectionRecord]:
        """The last ended records, oldest first, at most `RING`."""
        with self._lock:
            return list(self._recent)

    def events(self) -> list[Event]:
        """The last events, oldest first."""
        with self._lock:
            return list(self._events)

    def subscribe(self) -> Subscription:
        """From now on every record that ends goes to the returned subscription, until `unsubscribe`."""
        subscription = Subscription()
        with self._lock:
            self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop filling `subscription`; what it holds can still be taken."""
        with self._lock:
            self._subscriptions.remove(subscription)
