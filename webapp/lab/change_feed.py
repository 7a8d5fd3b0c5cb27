"""Who wants to know when something changed, without a queue to overflow.

A topic has a version that grows with every change. A stream keeps the version it has shown, waits for another one, and
then asks for the whole state: however slow its reader is, it holds nothing back for it and the next event is fresh.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict
from dataclasses import dataclass, field

LAB = "lab"  # the lists of servers and runs


def run_topic(run_id: int) -> str:
    """The topic of one run."""
    return f"run {run_id}"


@dataclass(eq=False, slots=True)
class _Waiter:
    loop: asyncio.AbstractEventLoop
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # its loop has ended, and so has its stream
            self.loop.call_soon_threadsafe(self.woken.set)


class Feed:
    """Versions and those who wait for the next one. `touch` and `close` from any thread, `wait` within a loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards everything below
        self._versions: dict[str, int] = {}
        self._waiters: dict[str, set[_Waiter]] = defaultdict(set)
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the lab is ending: nobody may wait any more."""
        with self._lock:
            return self._closed

    def version(self, topic: str) -> int:
        """The topic's version; 0 before its first change."""
        with self._lock:
            return self._versions.get(topic, 0)

    def touch(self, topic: str) -> None:
        """The topic has changed."""
        with self._lock:
            self._versions[topic] = self._versions.get(topic, 0) + 1
            waiters = list(self._waiters.get(topic, ()))
        for waiter in waiters:
            waiter.wake()

    def close(self) -> None:
        """Wake everybody, for good."""
        with self._lock:
            self._closed = True
            waiters = [waiter for waiting in self._waiters.values() for waiter in waiting]
        for waiter in waiters:
            waiter.wake()

    async def wait(self, topic: str, seen: int, timeout_s: float) -> None:
        """Return when the topic's version is another than `seen`, the time is over, or the feed is closed."""
        waiter = _Waiter(asyncio.get_running_loop())
        with self._lock:
            if self._closed or self._versions.get(topic, 0) != seen:
                return
            self._waiters[topic].add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter.woken.wait()
        except TimeoutError:
            pass
        finally:
            with self._lock:
                self._waiters[topic].discard(waiter)
                if not self._waiters[topic]:
                    del self._waiters[topic]
