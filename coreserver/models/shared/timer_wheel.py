"""Coarse alarms for very many connections: a timer wheel that is turned only when a deadline may have passed.

Ten thousand keys each move their idle deadline with every message. Here a message costs nothing: a key stays in the
slot it was put in, and only when that slot is due is it asked when it is really due. So each key costs a few
microseconds per timeout, not per message, and no turn of the loop looks at all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

from coreserver.clock import NS_PER_S

SLOT_NS = NS_PER_S // 16  # alarms ring up to this much late, never early

Key = TypeVar("Key", bound=Hashable)


class TimerWheel(Generic[Key]):
    """At most one alarm a key. Only the loop's thread may call.

    Args:
        call_at: the loop's own timer: (monotonic nanoseconds, callback).
        on_due: called with each key whose alarm has rung; the alarm is gone then.
    """

    def __init__(self, call_at: Callable[[int, Callable[[], None]], None], on_due: Callable[[Key], None]) -> None:
        self._call_at = call_at
        self._on_due = on_due
        self._slots: dict[int, set[Key]] = {}  # each has one timer of the loop's, also when it has become empty
        self._slot_of: dict[Key, int] = {}

    def set(self, key: Key, due_ns: int | None) -> None:
        """Ring for `key` at `due_ns`, instead of whenever it was to ring before; None: do not ring."""
        self.drop(key)
        if due_ns is None:
            return
        slot = -(-due_ns // SLOT_NS)
        keys = self._slots.get(slot)
        if keys is None:
            keys = self._slots[slot] = set()
            self._call_at(slot * SLOT_NS, partial(self._ring, slot))
        keys.add(key)
        self._slot_of[key] = slot

    def drop(self, key: Key) -> None:
        """Forget the alarm of `key`, if it has one."""
        slot = self._slot_of.pop(key, None)
        if slot is not None:
            self._slots[slot].discard(key)

    def _ring(self, slot: int) -> None:
        keys = self._slots.pop(slot)
        for key in keys:
            del self._slot_of[key]
        for key in keys:
            self._on_due(key)
