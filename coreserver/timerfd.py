"""Callbacks at absolute times of the lab's clock, never early, on one timerfd.

The timers of event loops are too coarse for due times and short sleeps: asyncio rounds up to whole milliseconds, and
those of uvloop may fire early or, below half a millisecond, become a busy loop. A timerfd on CLOCK_MONOTONIC is
accurate to tens of microseconds.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from heapq import heappop, heappush

from coreserver.clock import NS_PER_S, now_ns

MAX_BATCH = 64  # callbacks per turn of the loop, so that sockets are served in between: a connect takes about 60 µs

_TFD_TIMER_ABSTIME = 1
_libc = ctypes.CDLL(None, use_errno=True)  # os.timerfd_create() came with Python 3.13


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Timers:
    """Timers of one event loop, any number on one descriptor. Not thread-safe: only the loop's thread may use them.

    Attributes:
        fd: readable when a callback is due; the loop then calls `ready`.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[], object]]] = []
        self._in_turn = False  # true while callbacks run; the descriptor is armed once, after them
        self._count = 0  # keeps callbacks with the same due time in the order of their calls
        self._spec = _Itimerspec()
        self._due, self._spec_at = self._spec.value, ctypes.byref(self._spec)
        self.fd = _check(_libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))

    def at(self, due_ns: int, callback: Callable[[], object]) -> None:
        """Schedule `callback` for `due_ns`, or for the next turn if that has passed; it cannot be cancelled."""
        self._count += 1
        heappush(self._heap, (due_ns, self._count, callback))
        if not self._in_turn and self._heap[0][1] == self._count:
            self._arm()

    def next_due_ns(self) -> int | None:
        """Return when the next callback is due; None if there is none."""
        return self._heap[0][0] if self._heap else None

    def ready(self) -> None:
        """Run the due callbacks. Called by the loop when `fd` is readable."""
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            return  # armed again since the loop woke up
        self.call_due()

    def call_due(self) -> None:
        """Run the due callbacks, at most MAX_BATCH."""
        self._in_turn = True
        try:
            for _ in range(MAX_BATCH):
                if not self._heap or self._heap[0][0] > now_ns():
                    return
                heappop(self._heap)[2]()
        finally:
            self._in_turn = False
            self._arm()

    def close(self) -> None:
        """Drop the remaining callbacks and close the descriptor."""
        self._heap.clear()
        os.close(self.fd)

    def _arm(self) -> None:
        if self._heap:
            due_ns = max(1, self._heap[0][0])  # 0 would disarm; a time that has passed fires at once
            self._due.seconds, self._due.nanoseconds = divmod(due_ns, NS_PER_S)
            _check(_libc.timerfd_settime(self.fd, _TFD_TIMER_ABSTIME, self._spec_at, None))


def _check(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
