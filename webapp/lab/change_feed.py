"""Change notifications by topic version; readers fetch the state again, so nothing is queued.

A topic has a version that grows with every change. A stream remembers the version that it has sent, waits for a later
one and then reads the whole state. A slow reader therefore holds no events in memory, and its next event is up to date.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

LAB = "lab"  # which servers and runs there are, and their states
PROGRESS = "progress"  # the figures of any run in progress, about ten changes per second


def run_topic(run_id: int) -> str:
    """Return the topic for the state of one run."""
    return f"run {run_id}"


def progress_topic(run_id: int) -> str:
    """Return the topic for the figures of one run in progress."""
    return f"progress {run_id}"


@dataclass(eq=False, slots=True)
class _Waiter:
    loop: asyncio.AbstractEventLoop
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the stream with it
            self.loop.call_soon_threadsafe(self.woken.set)


class Feed:
    """Topic versions and the tasks that wait for a change.

    Any thread may call `touch`, `close` and `version`; `wait` runs in an event loop.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards everything below
        self._versions: dict[str, int] = {}
        self._waiters: dict[str, set[_Waiter]] = defaultdict(set)
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the lab is shutting down; `wait` then returns at once."""
        with self._lock:
            return self._closed

    def version(self, *topics: str) -> int:
        """Return the sum of the topics' versions, which grows with a change of any of them; 0 before the first."""
        with self._lock:
            return self._sum(topics)

    def touch(self, *topics: str) -> None:
        """Record a change of each topic and wake the tasks that wait for it."""
        with self._lock:
            for topic in topics:
                self._versions[topic] = self._versions.get(topic, 0) + 1
            waiters = {waiter for topic in topics for waiter in self._waiters.get(topic, ())}
        for waiter in waiters:
            waiter.wake()

    def close(self) -> None:
        """Wake every waiting task; later calls of `wait` return at once."""
        with self._lock:
            self._closed = True
            waiters = {waiter for waiting in self._waiters.values() for waiter in waiting}
        for waiter in waiters:
            waiter.wake()

    async def wait(self, topics: Collection[str], seen: int, timeout_s: float) -> None:
        """Return when `version(*topics)` is no longer `seen`, after `timeout_s`, or when the feed is closed."""
        waiter = _Waiter(asyncio.get_running_loop())
        with self._lock:
            if self._closed or self._sum(topics) != seen:
                return
            for topic in topics:
                self._waiters[topic].add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await waiter.woken.wait()
        except TimeoutError:
            pass
        finally:
            with self._lock:
                for topic in topics:
                    self._waiters[topic].discard(waiter)
                    if not self._waiters[topic]:
                        del self._waiters[topic]

    def _sum(self, topics: Collection[str]) -> int:
        return sum(self._versions.get(topic, 0) for topic in topics)
