"""Timeouts: clients in the order in which they began to wait, and one timer for all of them.

One timer per client would keep every client of the last `timeout_s` in memory, ended or not; at thousands of
connections a second that is most of them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from coreserver.clock import now_ns
from coreserver.timerfd import Timers


class Waiter(Protocol):
    """An object with a timeout."""

    def on_timeout(self, at_ns: int) -> None:
        """Handle the end of the timeout that `watch` started; call `watch` again to wait further."""


class Timeouts:
    """Queue of waiters; calls `on_timeout` of each one `timeout_ns` after it began to wait. Loop thread only."""

    def __init__(self, timers: Timers, timeout_ns: int) -> None:
        self._timers = timers
        self.timeout_ns = timeout_ns
        self._since: OrderedDict[Waiter, int] = OrderedDict()
        self._is_armed = False

    def watch(self, waiter: Waiter, since_ns: int) -> None:
        """Call `on_timeout` of `waiter` once, about `timeout_ns` after `since_ns`, which must be about now."""
        self._since[waiter] = since_ns
        if not self._is_armed:
            self._arm()

    def forget(self, waiter: Waiter) -> None:
        """Stop watching `waiter`."""
        self._since.pop(waiter, None)

    def _arm(self) -> None:
        if self._since:
            self._is_armed = True
            self._timers.at(next(iter(self._since.values())) + self.timeout_ns, self._check)

    def _check(self) -> None:
        self._is_armed = False
        at_ns = now_ns()
        while self._since:
            waiter, since_ns = next(iter(self._since.items()))
            if since_ns + self.timeout_ns > at_ns:
                break
            del self._since[waiter]
            waiter.on_timeout(at_ns)
        if not self._is_armed:
            self._arm()
