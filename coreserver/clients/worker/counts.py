"""Where every client of this process stands, and whose record changed since somebody last looked."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from itertools import islice

from coreserver.records.client import ClientRecord


class Phase(StrEnum):
    """Where a client is between its due time and its end."""

    CONNECTING = "connecting"
    WAITING = "waiting"  # connected, no greeting yet
    IN_SERVICE = "in_service"  # greeted
    COMPLETED = "completed"
    FAILED = "failed"  # ended in any other way


class ClientCounts:
    """Counts clients by phase and remembers changed records. The loop's own thread alone may call it."""

    def __init__(self) -> None:
        self._in_phase = dict.fromkeys(Phase, 0)
        self._changed: dict[int, ClientRecord] = {}  # by identity: records are mutable, so not hashable
        self._open = 0
        self._all_closed = asyncio.Event()

    def expect(self, clients: int) -> None:
        """So many clients more will have to be `closed` before `wait_all_closed` returns."""
        self._open += clients

    def moved(self, record: ClientRecord, old: Phase | None, new: Phase) -> None:
        """`record`'s client went from `old` (None: not begun) to `new`."""
        if old is not None:
            self._in_phase[old] -= 1
        self._in_phase[new] += 1
        self._changed[id(record)] = record

    def closed(self) -> None:
        """One client has ended and its socket, if it had one, is closed."""
        self._open -= 1
        if self._open == 0:
            self._all_closed.set()

    async def wait_all_closed(self) -> None:
        """Returns when every expected client has closed."""
        await self._all_closed.wait()

    def counts(self, due: int) -> dict[str, int]:
        """Clients by phase, beside how many have come due."""
        return {"due": due} | {phase.value: count for phase, count in self._in_phase.items()}

    @property
    def is_all_closed(self) -> bool:
        """Whether every expected client has closed."""
        return self._all_closed.is_set()

    @property
    def has_changes(self) -> bool:
        """Whether `take_changed` would give anything."""
        return bool(self._changed)

    def take_changed(self, at_most: int) -> list[ClientRecord]:
        """Records that changed since they were last taken, longest waiting first; they are forgotten here."""
        return [self._changed.pop(key) for key in list(islice(self._changed, at_most))]
