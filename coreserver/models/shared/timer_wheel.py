"""Coarse timers for very many connections: a wheel of slots, each with one timer of the loop.

Each of ten thousand peers moves its idle deadline with every message. A message costs nothing here: the session stays
in its slot, and only when the slot is due does the loop compute the session's present deadline. So each session costs
a few microseconds per timeout instead of per message, and no turn of the loop visits all sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

from coreserver.clock import NS_PER_S

SLOT_NS = NS_PER_S // 16  # a timer fires up to this much late, never early

Key = TypeVar("Key", bound=Hashable)


class TimerWheel(Generic[Key]):
    """At most one timer per key. Loop thread only.

    Args:
        call_at: the loop's own timers: (monotonic nanoseconds, callback).
        on_due: called with each key whose timer has fired; the timer is removed before.
    """

    def __init__(self, call_at: Callable[[int, Callable[[], None]], None], on_due: Callable[[Key], None]) -> None:
        self._call_at = call_at
        self._on_due = on_due
        self._slots: dict[int, set[Key]] = {}  # each has one timer of the loop, even after it has become empty
        self._slot_of: dict[Key, int] = {}

    def set(self, key: Key, due_ns: int | None) -> None:
        """Set the timer of `key` to `due_ns`, replacing an earlier one; None removes it."""
        self.drop(key)
        if due_ns is None:
            return
        slot = -(-due_ns // SLOT_NS)
        keys = self._slots.get(slot)
        if keys is None:
            keys = self._slots[slot] = set()
            self._call_at(slot * SLOT_NS, partial(self._fire, slot))
        keys.add(key)
        self._slot_of[key] = slot

    def drop(self, key: Key) -> None:
        """Remove the timer of `key`, if it has one."""
        slot = self._slot_of.pop(key, None)
        if slot is not None:
            self._slots[slot].discard(key)

    def _fire(self, slot: int) -> None:
        keys = self._slots.pop(slot)
        for key in keys:
            del self._slot_of[key]
        for key in keys:
            self._on_due(key)
