"""Coarse alarms for very many connections: a timer wheel that is turned only when a deadline may have passed.

Ten thousand peers each move their idle deadline with every message. Here a message costs nothing: a peer stays in the
slot it was put in, and only when that slot is due is it asked when it is really due. So each peer costs a few
microseconds per timeout, not per message, and no turn of the loop looks at all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

from coreserver.clock import NS_PER_S

SLOT_NS = NS_PER_S // 16  # alarms ring up to this much late, never early

Peer = TypeVar("Peer", bound=Hashable)


class Deadlines(Generic[Peer]):
    """At most one alarm a peer. Only the loop's thread may call.

    Args:
        call_at: the loop's own timer: (monotonic nanoseconds, callback).
        on_due: called with each peer whose alarm has rung; the alarm is gone then.
    """

    def __init__(self, call_at: Callable[[int, Callable[[], None]], None], on_due: Callable[[Peer], None]) -> None:
        self._call_at = call_at
        self._on_due = on_due
        self._slots: dict[int, set[Peer]] = {}  # each has one timer of the loop's, also when it has become empty
        self._slot_of: dict[Peer, int] = {}

    def set(self, peer: Peer, due_ns: int | None) -> None:
        """Ring for `peer` at `due_ns`, instead of whenever it was to ring before; None: do not ring."""
        self.drop(peer)
        if due_ns is None:
            return
        slot = -(-due_ns // SLOT_NS)
        peers = self._slots.get(slot)
        if peers is None:
            peers = self._slots[slot] = set()
            self._call_at(slot * SLOT_NS, partial(self._ring, slot))
        peers.add(peer)
        self._slot_of[peer] = slot

    def drop(self, peer: Peer) -> None:
        """Forget the alarm of `peer`, if it has one."""
        slot = self._slot_of.pop(peer, None)
        if slot is not None:
            self._slots[slot].discard(peer)

    def _ring(self, slot: int) -> None:
        peers = self._slots.pop(slot)
        for peer in peers:
            del self._slot_of[peer]
        for peer in peers:
            self._on_due(peer)
