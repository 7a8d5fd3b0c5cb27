"""Who has waited for how long: clients in the order in which they began to wait, and one timer for all of them.

A timer each would keep every client of the last `timeout_s` in memory, ended or not: at thousands of connections a
second that is most of them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from coreserver.clock import now_ns
from coreserver.timerfd import Timers


class Waiter(Protocol):
    """Somebody who may wait too long."""

    def waited(self, at_ns: int) -> None:
        """The timeout has passed since `watch`; still waiting, the waiter asks to be watched again."""


class Timeouts:
    """Calls `waited` on clients that were watched for `timeout_ns`. The loop's own thread alone may call it."""

    def __init__(self, timers: Timers, timeout_ns: int) -> None:
        self._timers = timers
        self.timeout_ns = timeout_ns
        self._since: OrderedDict[Waiter, int] = OrderedDict()
        self._is_set = False

    def watch(self, waiter: Waiter, since_ns: int) -> None:
        """Call `waiter` some `timeout_ns` after `since_ns`, which is about now; once."""
        self._since[waiter] = since_ns
        if not self._is_set:
            self._set()

    def forget(self, waiter: Waiter) -> None:
        """Do not call it."""
        self._since.pop(waiter, None)

    def _set(self) -> None:
        if self._since:
            self._is_set = True
            self._timers.at(next(iter(self._since.values())) + self.timeout_ns, self._look)

    def _look(self) -> None:
        self._is_set = False
        at_ns = now_ns()
        while self._since:
            waiter, since_ns = next(iter(self._since.items()))
            if since_ns + self.timeout_ns > at_ns:
                break
            del self._since[waiter]
            waiter.waited(at_ns)
        if not self._is_set:
            self._set()
