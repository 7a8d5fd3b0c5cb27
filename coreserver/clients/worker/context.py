"""What all clients of one client process share: where they connect to, clocks, counters, and where they note things."""

from __future__ import annotations

import sys
from typing import Protocol

from coreserver.clients.worker.counts import ClientCounts
from coreserver.clients.worker.epoll import Poller
from coreserver.clients.worker.loop_timers import LoopTimers
from coreserver.clients.worker.source_addresses import Target
from coreserver.clients.worker.timeouts import Timeouts
from coreserver.clock import NS_PER_S
from coreserver.records.client import ClientRecord
from coreserver.records.message_columns import MessageColumns
from coreserver.records.place import Place


class Cancellable(Protocol):
    """A client that can be ended."""

    def cancel(self) -> None:
        """End the client now."""


class WorkerContext:
    """One run in one process. The loop's own thread alone may use it.

    `records` has every connection there has been; a connection's index there stands for it in `columns`. No more than
    `most_open` are open at a time: the rest of the process's descriptors is for itself.
    """

    def __init__(
        self, target: Target, timers: LoopTimers, tally: ClientCounts, *, most_open: int = sys.maxsize
    ) -> None:
        self.target = target
        self.timers = timers
        self.poller = Poller(timers.loop, timers.catch_up)
        self.tally = tally
        self.most_open = most_open
        self.columns = MessageColumns()
        self.records: list[ClientRecord] = []
        self.places: list[Place] = []
        self.open: dict[Cancellable, None] = {}  # begun and not ended, in the order of their begin
        self.is_over = False  # nothing new may begin
        self._timeouts: dict[int, Timeouts] = {}

    def enter(self, record: ClientRecord, place: Place) -> int:
        """A client comes to be; its index."""
        self.records.append(record)
        self.places.append(place)
        self.tally.expect(1)
        return len(self.records) - 1

    def timeouts(self, timeout_s: float) -> Timeouts:
        """The one watch over all clients with that timeout."""
        timeout_ns = round(timeout_s * NS_PER_S)
        if timeout_ns not in self._timeouts:
            self._timeouts[timeout_ns] = Timeouts(self.timers, timeout_ns)
        return self._timeouts[timeout_ns]

    def close(self) -> None:
        """Every client has ended: free what they shared."""
        self.timers.close()
        self.poller.close()

    def cancel(self) -> None:
        """End every client that has begun, and begin no other."""
        self.is_over = True
        for client in list(self.open):
            client.cancel()
