"""The queue between the accept thread and the workers of a pool.

    acceptor:  put, or offer                     one thread
    worker-N:  take, serve, take, serve …        any number of threads
    scaler:    wait_overdue                      at most one thread, in pools that grow

A worker that waits in `take` makes room for one connection more than `limit`, so a queue with limit 0 hands each
connection straight to an idle worker.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from coreserver.models.shared.open_connections import Connection
from coreserver.records.server import Discipline


class WorkerQueue:
    """Queue of accepted connections that wait for a worker: bounded or unbounded, first in or last in, first out.

    Any thread may call any method; one lock guards all state. `put`, `take` and `wait_overdue` block; `close` wakes all
    of them. The queue never closes a connection: the caller closes those that were not added and those that `close`
    returns.

    Args:
        discipline: the order in which `take` returns connections.
        limit: connections that may wait while every worker is busy; None for no limit.
    """

    def __init__(
        self, discipline: Discipline = Discipline.FIRST_COME_FIRST_SERVED, *, limit: int | None = None
    ) -> None:
        self._is_lifo = discipline is Discipline.LAST_COME_FIRST_SERVED
        self._limit = limit
        lock = threading.Lock()  # guards everything below
        self._room = threading.Condition(lock)  # `put` waits here for a worker to take a connection or become idle
        self._work = threading.Condition(lock)  # `take` waits here for a connection
        self._shortage = threading.Condition(lock)  # `wait_overdue` waits here for more connections than idle workers
        self._waiting: deque[tuple[float, Connection]] = deque()  # (when it was added, connection), oldest first
        self._blocked = 0  # threads in `put`, each with a connection
        self._idle = 0  # threads in `take`
        self._closed = False

    @property
    def depth(self) -> int:
        """Connections that wait for a worker, including those of blocked `put` calls."""
        with self._work:
            return len(self._waiting) + self._blocked

    @property
    def is_closed(self) -> bool:
        """Whether `close` has been called."""
        with self._work:
            return self._closed

    def put(self, connection: Connection) -> bool:
        """Add `connection`, waiting for room; return False if the queue was closed instead."""
        with self._room:
            self._blocked += 1
            self._room.wait_for(lambda: self._closed or self._has_room())
            self._blocked -= 1
            return self._add(connection)

    def offer(self, connection: Connection) -> bool:
        """Add `connection` if there is room; return whether it was added. Never blocks."""
        with self._work:
            return self._has_room() and self._add(connection)

    def take(self, timeout_s: float | None = None) -> Connection | None:
        """Remove and return the next connection, waiting for one; None once the queue is closed, or after `timeout_s`.

        The worker counts as idle while it waits.
        """
        with self._work:
            self._idle += 1
            self._room.notify()
            self._work.wait_for(lambda: self._closed or self._waiting, timeout_s)
            self._idle -= 1
            if not self._waiting:
                return None
            _, connection = self._waiting.pop() if self._is_lifo else self._waiting.popleft()
            self._notify_shortage()
            return connection

    def wait_overdue(self, after_s: float, *, since: float = 0.0) -> float | None:
        """Wait until a connection has waited `after_s` and no idle worker can take it; return how long it has waited.

        Args:
            after_s: seconds, counted from `since` for connections that were added before.
            since: instant of `time.monotonic`.

        Returns:
            The wait of the oldest connection in seconds; None once the queue is closed.
        """
        with self._shortage:
            while True:
                self._shortage.wait_for(lambda: self._closed or self._is_short())
                if self._closed:
                    return None
                now, (oldest, _) = time.monotonic(), self._waiting[0]
                left_s = max(oldest, since) + after_s - now
                if left_s <= 0:
                    return now - oldest
                self._shortage.wait(left_s)

    def close(self) -> list[Connection]:
        """Wake every waiting thread and return the remaining connections; from then on nothing can be added."""
        with self._work:
            self._closed = True
            left = [connection for _, connection in self._waiting]
            self._waiting.clear()
            for condition in (self._room, self._work, self._shortage):
                condition.notify_all()
            return left

    def _has_room(self) -> bool:
        return self._limit is None or len(self._waiting) < self._limit + self._idle

    def _is_short(self) -> bool:
        return len(self._waiting) > self._idle

    def _notify_shortage(self) -> None:
        if self._is_short():
            self._shortage.notify()

    def _add(self, connection: Connection) -> bool:
        if self._closed:
            return False
        self._waiting.append((time.monotonic(), connection))
        self._work.notify()
        self._notify_shortage()
        return True
