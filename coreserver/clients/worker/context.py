"""State that all clients of one client process share: target, timers, counts, limits and records."""

from __future__ import annotations

import sys
from typing import Protocol

from coreserver.clients.worker.counts import ClientCounts
from coreserver.clients.worker.epoll import Poller
from coreserver.clients.worker.loop_timers import LoopTimers
from coreserver.clients.worker.source_addresses import ClientTarget
from coreserver.clients.worker.timeouts import Timeouts
from coreserver.clock import NS_PER_S
from coreserver.records.client import ClientRecord
from coreserver.records.message_columns import MessageColumns
from coreserver.records.place import Place


class Cancellable(Protocol):
    """A client that can be ended early."""

    def cancel(self) -> None:
        """End the client now."""


class WorkerContext:
    """State of one run in one client process, shared by all its clients. Loop thread only, so it has no lock.

    Each client calls `enter` when it is created and adds itself to `open` when it starts. The session waits on `counts`
    for the last client, and calls `cancel` and `close`.

    Attributes:
        target: the address to connect to, with the source addresses.
        timers: timers with the resolution that due times need.
        poller: readiness of the clients' sockets.
        counts: clients by phase, and the records that changed.
        columns: the messages of all clients.
        records: every connection of this process; its index identifies a connection in `columns`.
        places: the position of each of `records` in the run.
        open: the clients that have started and not ended, in the order of their start.
        max_open: the maximum number of open connections; the other descriptors are for the process itself.
        is_over: whether no client may start or send another message.
    """

    def __init__(
        self, target: ClientTarget, timers: LoopTimers, counts: ClientCounts, *, max_open: int = sys.maxsize
    ) -> None:
        self.target = target
        self.timers = timers
        self.poller = Poller(timers.loop, timers.catch_up)
        self.counts = counts
        self.max_open = max_open
        self.columns = MessageColumns()
        self.records: list[ClientRecord] = []
        self.places: list[Place] = []
        self.open: dict[Cancellable, None] = {}
        self.is_over = False
        self._timeouts: dict[int, Timeouts] = {}

    def enter(self, record: ClientRecord, place: Place) -> int:
        """Register the record of a new client; return its index."""
        self.records.append(record)
        self.places.append(place)
        self.counts.expect(1)
        return len(self.records) - 1

    def timeouts(self, timeout_s: float) -> Timeouts:
        """Return the object that watches all clients with this timeout."""
        timeout_ns = round(timeout_s * NS_PER_S)
        if timeout_ns not in self._timeouts:
            self._timeouts[timeout_ns] = Timeouts(self.timers, timeout_ns)
        return self._timeouts[timeout_ns]

    def cancel(self) -> None:
        """End every client that has started, and prevent the start of others."""
        self.is_over = True
        for client in list(self.open):
            client.cancel()

    def close(self) -> None:
        """Free the shared resources. Every client must have ended."""
        self.timers.close()
        self.poller.close()
