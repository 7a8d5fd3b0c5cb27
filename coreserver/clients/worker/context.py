"""What all clients of one client process share: their target, timers and counts, and where they record."""

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
    """The shared state of one run in one process. Only the thread of the loop may use it.

    Attributes:
        records: every connection of this process; the index of a connection stands for it in `columns`.
        open: the clients that have begun and not ended, in the order of their begin.
        max_open: the number of connections that may be open; the rest of the descriptors is for the process itself.
        is_over: nothing new may begin.
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
        """Add a client; return its index."""
        self.records.append(record)
        self.places.append(place)
        self.counts.expect(1)
        return len(self.records) - 1

    def timeouts(self, timeout_s: float) -> Timeouts:
        """Return the watch over all clients with that timeout."""
        timeout_ns = round(timeout_s * NS_PER_S)
        if timeout_ns not in self._timeouts:
            self._timeouts[timeout_ns] = Timeouts(self.timers, timeout_ns)
        return self._timeouts[timeout_ns]

    def cancel(self) -> None:
        """End every client that has begun, and begin no other."""
        self.is_over = True
        for client in list(self.open):
            client.cancel()

    def close(self) -> None:
        """Free the shared resources. Every client must have ended."""
        self.timers.close()
        self.poller.close()
