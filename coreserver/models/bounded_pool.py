"""A hand-made thread pool with a bounded queue, as the article's prose describes it.

    acceptor:  accept ─ put ─ accept ─ put …     `put` blocks while every worker is busy and the queue is full
    queue:     at most `queue_limit` connections
    worker-N:  take, serve, take, serve …

When the acceptor blocks, the kernel's accept queue fills behind it, and behind that the clients' connects: the pressure
reaches the clients instead of piling up as descriptors. With `when_full: refuse` the acceptor turns peers away instead.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Literal

from pydantic import Field
from typing_extensions import override

from coreserver.config.server import ServerOptions
from coreserver.models.shared.base import numbered_workers
from coreserver.models.shared.blocking_server import BlockingServer
from coreserver.models.shared.open_connections import Connection
from coreserver.records.server import Discipline, ServerOutcome
from coreserver.telemetry.recorder import Recorder


class BoundedPoolConfig(ServerOptions):
    """Settings of `bounded_pool`."""

    model: Literal["bounded_pool"]
    workers: int = Field(default=8, ge=1, le=10_000, description="threads that serve; each serves one client at a time")
    queue_limit: int = Field(
        default=64, ge=0, le=100_000, description="accepted connections that may wait; 0: hand straight to a worker"
    )
    when_full: Literal["wait", "refuse"] = Field(
        default="wait", description="workers busy and queue full: stop accepting, or turn the peer away"
    )


class BoundedPool(BlockingServer):
    """Fixed workers and a bounded queue; when both are full the accept loop blocks, or refuses."""

    Config = BoundedPoolConfig
    discipline = Discipline.FIRST_COME_FIRST_SERVED

    @classmethod
    @override
    def worker_names(cls, config: BoundedPoolConfig) -> tuple[str, ...]:
        return numbered_workers(config.workers)

    def __init__(self, config: BoundedPoolConfig, recorder: Recorder | None = None) -> None:
        super().__init__(config, recorder)
        self._workers = config.workers
        self._refuses = config.when_full == "refuse"
        self._queue_limit = config.queue_limit
        self._queue = WorkerQueue(self._queue_limit)

    def before_accepting(self) -> None:
        """Start the workers."""
        for number in range(1, self._workers + 1):
            name = f"worker-{number}"
            self.threads.start(name, lambda name=name: self._work(name))  # type: ignore[misc]

    def on_accept(self, connection: Connection) -> None:
        """Queue it for a worker, waiting for room or refusing as configured."""
        if self._refuses:
            if not self._queue.offer(connection):
                self.refuse(connection, f"workers busy: {self._workers}, connections waiting: {self._queue_limit}")
        elif not self._queue.put(connection):
            self.connections.close(connection, ServerOutcome.CUT_OFF)

    def queue_depth(self) -> int:
        """Connections accepted and waiting: those in the queue, and one that the accept loop may hold."""
        return self.recorder.totals().waiting

    def abandon_queue(self) -> None:
        """Close what waits in the queue as cut off, and let the workers end."""
        for connection in self._queue.close():
            self.connections.close(connection, ServerOutcome.CUT_OFF)

    def _work(self, name: str) -> None:
        while (connection := self._queue.take()) is not None:
            self.serve(connection, name)


class WorkerQueue:
    """First come, first served; room for `limit` connections and one more for each worker that waits for one."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        lock = threading.Lock()  # guards everything below
        self._room = threading.Condition(lock)  # a worker became idle, or the queue was closed
        self._work = threading.Condition(lock)  # a connection was added, or the queue was closed
        self._waiting: deque[Connection] = deque()
        self._idle_workers = 0
        self._closed = False

    def put(self, connection: Connection) -> bool:
        """Add it, waiting for room; False if the queue was closed first."""
        with self._room:
            self._room.wait_for(lambda: self._closed or self._has_room())
            return self._add(connection)

    def offer(self, connection: Connection) -> bool:
        """Add it if there is room; whether it was added."""
        with self._room:
            return self._has_room() and self._add(connection)

    def take(self) -> Connection | None:
        """The connection that waited longest; waits for one. None once the queue is closed."""
        with self._work:
            self._idle_workers += 1
            self._room.notify()
            self._work.wait_for(lambda: self._closed or self._waiting)
            self._idle_workers -= 1
            return self._waiting.popleft() if self._waiting else None

    def close(self) -> list[Connection]:
        """Wake everybody; returns what was still waiting."""
        with self._work:
            self._closed = True
            left = list(self._waiting)
            self._waiting.clear()
            self._work.notify_all()
            self._room.notify_all()
            return left

    def _has_room(self) -> bool:
        return len(self._waiting) < self._limit + self._idle_workers

    def _add(self, connection: Connection) -> bool:
        if self._closed:
            return False
        self._waiting.append(connection)
        self._work.notify()
        return True
