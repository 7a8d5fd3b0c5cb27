"""The server's side of a run: its records as they end, its samples, and whether it is still there.

A server of somebody else has such a side too, but we cannot see it.
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

ENDS_DEADLINE_S = 2.0  # for the server to see the end of connections whose clients have gone
_LOOK_EVERY_S = 0.01


class ServerSide:
    """Follows one of our own servers while in use as a context manager; `records` is what it has noted so far."""

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
        """Where it listens."""
        return self._host.address

    @property
    def state(self) -> State | None:
        """What it is doing now."""
        return self._host.state

    @property
    def failure(self) -> str | None:
        """Why it failed."""
        return self._host.failure

    @property
    def lost(self) -> int:
        """Records that could not be kept."""
        return self._subscription.lost

    def take(self) -> None:
        """Take what it has noted since the last time, before there is too much of it."""
        self.records += self._subscription.take()

    def samples(self, started_ns: int, ended_ns: int) -> list[Sample]:
        """Its samples of that time, and one before."""
        samples = self._host.samples(started_ns - round(INTERVAL_S * NS_PER_S))
        return [sample for sample in samples if sample.at_ns <= ended_ns]

    def await_ends(self, clients: Sequence[ClientRecord]) -> None:
        """Take its records until it has seen the end of every connection that `clients` made, or too long.

        At the deadline, those still open are taken unfinished. The kernel may hold connections that the server has not
        accepted yet, so we wait for as many ends as there were connects.
        """
        missing = Counter(client.local for client in clients if client.connected_ns is not None)
        missing.subtract(record.peer for record in self.records if record.peer in missing)
        deadline = time.monotonic() + ENDS_DEADLINE_S
        while any(count > 0 for count in missing.values()) and time.monotonic() < deadline:
            taken = self._subscription.take()
            missing.subtract(record.peer for record in taken if record.peer in missing)
            self.records += taken
            time.sleep(_LOOK_EVERY_S)
        still_open = [record for record in self._host.open_connections() if missing[record.peer] > 0]
        self.take()
        self.records += still_open


class UnknownSide:
    """The same of a server at `address` that is not ours."""

    state = failure = None
    lost = 0

    def __init__(self, address: tuple[str, int] | None) -> None:
        self.address = address
        self.records: list[ConnectionRecord] = []

    def __enter__(self) -> UnknownSide:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was opened."""

    def take(self) -> None:
        """There is nothing to take."""

    def samples(self, _started_ns: int, _ended_ns: int) -> list[Sample]:
        """None."""
        return []

    def await_ends(self, _clients: Sequence[ClientRecord]) -> None:
        """Nobody would tell us."""
