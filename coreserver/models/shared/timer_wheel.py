"""Coarse timers for thousands of connections: a wheel of slots, each with one timer of the loop.

Every message of a client defers the idle deadline of its session. The wheel is not updated then: the session stays in
its slot, and the loop computes the current deadline only when the slot is due. So each session costs a few microseconds
per timeout instead of per message, and no turn of the loop visits all sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

from coreserver.clock import NS_PER_S

SLOT_NS = NS_PER_S // 16  # a timer fires up to this much late, never early

Key = TypeVar("Key", bound=Hashable)


class TimerWheel(Generic[Key]):
    """Set of timers, at most one per key. Loop thread only; it has no lock and never blocks.

    A timer fires once, up to SLOT_NS late and never early. A slot keeps its loop timer after its last key was dropped;
    the timer then fires without effect.

    Args:
        call_at: schedules a timer of the loop: (monotonic nanoseconds, callback).
        on_due: called with each key whose timer has fired, after the timer was removed; it may set a new one.
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
