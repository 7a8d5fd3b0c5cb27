"""The server's side of a run: its records as they end, its samples and its state.

The side of an external server is unknown.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from coreserver.clock import NS_PER_S
from coreserver.hosting.host import ServerHost
from coreserver.models.shared.base import State
from coreserver.records.client import ClientRecord
from coreserver.records.samples import Sample
from coreserver.records.server import ConnectionRecord
from coreserver.telemetry.sampler import INTERVAL_S

ENDS_DEADLINE_S = 2.0  # for the server to record the end of connections whose clients have ended
_POLL_S = 0.01


class ServerSide:
    """A server of the lab during a run, as a context manager; `records` has the records taken so far."""

    def __init__(self, host: ServerHost) -> None:
        self._host = host
        self._subscription = host.subscribe()
        self.records: list[ConnectionRecord] = []

    def __enter__(self) -> ServerSide:
        return self

    def __exit__(self, *_: object) -> None:
        self._host.unsubscribe(self._subscription)

    @property
    def address(self) -> tuple[str, int] | None:
        """Where the server listens."""
        return self._host.address

    @property
    def state(self) -> State | None:
        """The current state of the server."""
        return self._host.state

    @property
    def failure(self) -> str | None:
        """Why the server failed."""
        return self._host.failure

    @property
    def lost(self) -> int:
        """How many records could not be kept."""
        return self._subscription.lost

    def take(self) -> None:
        """Take the records that ended since the last call, often enough that the subscription does not overflow."""
        self.records += self._subscription.take()

    def samples(self, started_ns: int, ended_ns: int) -> list[Sample]:
        """Return the samples between these instants, and the one before."""
        samples = self._host.samples(started_ns - round(INTERVAL_S * NS_PER_S))
        return [sample for sample in samples if sample.at_ns <= ended_ns]

    def await_ends(self, clients: Sequence[ClientRecord]) -> None:
        """Take records until every connection of `clients` has ended at the server, for at most ENDS_DEADLINE_S.

        Records of connections that are still open then are taken unfinished. The backlog may hold connections that the
        server has not accepted yet, so this waits for as many ends as there were connected clients.
        """
        missing = Counter(client.local for client in clients if client.connected_ns is not None)
        missing.subtract(record.peer for record in self.records if record.peer in missing)
        deadline = time.monotonic() + ENDS_DEADLINE_S
        while any(count > 0 for count in missing.values()) and time.monotonic() < deadline:
            taken = self._subscription.take()
            missing.subtract(record.peer for record in taken if record.peer in missing)
            self.records += taken
            time.sleep(_POLL_S)
        still_open = [record for record in self._host.open_connections() if missing[record.peer] > 0]
        self.take()
        self.records += still_open


class UnknownSide:
    """The unknown side of an external server at `address`."""

    state = failure = None
    lost = 0

    def __init__(self, address: tuple[str, int] | None) -> None:
        self.address = address
        self.records: list[ConnectionRecord] = []

    def __enter__(self) -> UnknownSide:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: no subscription was opened."""

    def take(self) -> None:
        """Do nothing: there are no records."""

    def samples(self, _started_ns: int, _ended_ns: int) -> list[Sample]:
        """Return no samples."""
        return []

    def await_ends(self, _clients: Sequence[ClientRecord]) -> None:
        """Do nothing: the ends are unknown."""
