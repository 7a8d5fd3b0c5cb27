"""Clients by phase, and the records that changed since the last report."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from itertools import islice

from coreserver.records.client import ClientRecord


class Phase(StrEnum):
    """Progress of a client between its due time and its end."""

    CONNECTING = "connecting"
    WAITING = "waiting"  # connected, no greeting yet
    IN_SERVICE = "in_service"  # greeted
    COMPLETED = "completed"
    FAILED = "failed"  # ended in any other way


class ClientCounts:
    """Counts of clients by phase, and the changed records. Loop thread only."""

    def __init__(self) -> None:
        self._in_phase = dict.fromkeys(Phase, 0)
        self._changed: dict[int, ClientRecord] = {}  # by identity: records are mutable, so not hashable
        self._open = 0
        self._all_closed = asyncio.Event()

    def expect(self, clients: int) -> None:
        """Require this many more calls of `count_closed` before `wait_all_closed` returns."""
        self._open += clients

    def count_closed(self) -> None:
        """Count a client that has ended and closed its socket."""
        self._open -= 1
        if self._open == 0:
            self._all_closed.set()

    def move(self, record: ClientRecord, old: Phase | None, new: Phase) -> None:
        """Count the client of `record` in `new` and no longer in `old`; `old` is None for a client that begins."""
        if old is not None:
            self._in_phase[old] -= 1
        self._in_phase[new] += 1
        self._changed[id(record)] = record

    async def wait_all_closed(self) -> None:
        """Return when every expected client has closed."""
        await self._all_closed.wait()

    def by_phase(self, due: int) -> dict[str, int]:
        """Return the number of clients in each phase, and under `due` the given number of due clients."""
        return {"due": due} | {phase.value: count for phase, count in self._in_phase.items()}

    @property
    def is_all_closed(self) -> bool:
        """Whether every expected client has closed."""
        return self._all_closed.is_set()

    @property
    def has_changes(self) -> bool:
        """Whether `take_changed` would return a record."""
        return bool(self._changed)

    def take_changed(self, at_most: int) -> list[ClientRecord]:
        """Remove and return records that changed since they were last taken, in the order of their change."""
        return [self._changed.pop(key) for key in list(islice(self._changed, at_most))]
