"""A thread pool that grows while connections wait and shrinks when workers idle.

    acceptor:  accept ─ queue ─ accept ─ queue …
    scaler:    sleeps until the oldest waiting connection has waited `grow_after_ms`, then adds a worker
    worker-N:  take, serve, take … ; ends after `shrink_after_s` without work, down to `min_workers`

Growth is paced: each worker added buys the queue another `grow_after_ms`, so a burst shorter than that costs no thread.
Every change is an event with its reason. The queue has no bound of its own; `max_connections` bounds it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from typing_extensions import override

from coreserver.config.base import Seconds
from coreserver.config.server import ServerOptions
from coreserver.errors import CannotStart
from coreserver.models.shared.base import numbered_workers
from coreserver.models.shared.blocking_server import BlockingServer
from coreserver.models.shared.open_connections import Connection
from coreserver.records.server import Discipline, ServerOutcome
from coreserver.telemetry.recorder import Recorder

SPAWN_PAUSE_S = 1.0  # after the machine refused a thread


class ElasticPoolConfig(ServerOptions):
    """Settings of `elastic_pool`."""

    model: Literal["elastic_pool"]
    min_workers: int = Field(default=2, ge=1, le=10_000, description="threads kept even when idle")
    max_workers: int = Field(default=32, ge=1, le=10_000, description="threads at most")
    grow_after_ms: float = Field(
        default=50.0, ge=0, le=60_000, description="a connection that waited so long brings another worker"
    )
    shrink_after_s: Seconds = Field(default=5.0, description="a worker without work for so long ends")

    @field_validator("max_workers")
    @classmethod
    def _not_below_min_workers(cls, max_workers: int, info: ValidationInfo) -> int:
        if max_workers < info.data.get("min_workers", 1):
            raise ValueError("must be at least min_workers")
        return max_workers


class ElasticPool(BlockingServer):
    """A pool that grows while connections wait and shrinks when workers idle."""

    Config = ElasticPoolConfig
    discipline = Discipline.FIRST_COME_FIRST_SERVED
    support_threads = ("acceptor", "scaler")

    @classmethod
    @override
    def worker_names(cls, config: ElasticPoolConfig) -> tuple[str, ...]:
        return numbered_workers(config.min_workers)

    @classmethod
    @override
    def max_threads(cls, config: ElasticPoolConfig) -> int:
        return config.max_workers

    def __init__(self, config: ElasticPoolConfig, recorder: Recorder | None = None) -> None:
        super().__init__(config, recorder)
        self._settings = config
        lock = threading.Lock()  # guards everything below
        self._work = threading.Condition(lock)  # workers wait here
        self._pressure = threading.Condition(lock)  # the scaler waits here
        self._queue: deque[tuple[float, Connection]] = deque()  # (when it began to wait, connection)
        self._idle = 0
        self._workers = 0
        self._started = 0
        self._closed = False

    def before_accepting(self) -> None:
        """Start the first workers and the scaler."""
        for _ in range(self._settings.min_workers):
            self._add_worker()
        self.threads.start("scaler", self._scale)

    def on_accept(self, connection: Connection) -> None:
        """Queue it for a worker."""
        with self._work:
            if not self._closed:
                self._queue.append((time.monotonic(), connection))
                self._work.notify()
                self._pressure.notify()
                return
        self.connections.close(connection, ServerOutcome.CUT_OFF)

    def queue_depth(self) -> int:
        """Connections accepted that no worker has taken."""
        return len(self._queue)

    def abandon_queue(self) -> None:
        """Close what waits as cut off, and let the workers and the scaler end."""
        with self._work:
            self._closed = True
            left = list(self._queue)
            self._queue.clear()
            self._work.notify_all()
            self._pressure.notify_all()
        for _, connection in left:
            self.connections.close(connection, ServerOutcome.CUT_OFF)

    # --- the scaler's thread -------------------------------------------------------------------------------------

    def _scale(self) -> None:
        grow_after_s = self._settings.grow_after_ms / 1000
        grown_at = 0.0
        while True:
            with self._pressure:
                self._pressure.wait_for(lambda: self._closed or self._is_short_of_workers())
                if self._closed:
                    return
                now, oldest = time.monotonic(), self._queue[0][0]
                too_early_s = max(oldest, grown_at) + grow_after_s - now
                if too_early_s > 0:
                    self._pressure.wait(too_early_s)
                    continue
            grown_at = now if self._grow(now - oldest) else now + SPAWN_PAUSE_S

    def _is_short_of_workers(self) -> bool:
        return len(self._queue) > self._idle and self._workers < self._settings.max_workers

    def _grow(self, waited_s: float) -> bool:
        try:
            self._add_worker()
        except CannotStart as error:
            self.recorder.event("spawn_failed", str(error))
            return False
        self.recorder.event("grew", f"to {self._workers} workers: a connection has waited {waited_s * 1000:.0f} ms")
        return True

    def _add_worker(self) -> None:
        with self._work:
            self._workers += 1
            self._started += 1
            name = f"worker-{self._started}"
        try:
            self.threads.start(name, lambda: self._serve_until_idle(name))
        except CannotStart:
            with self._work:
                self._workers -= 1
            raise

    # --- the workers' threads ------------------------------------------------------------------------------------

    def _serve_until_idle(self, name: str) -> None:
        while (connection := self._take(name)) is not None:
            self.serve(connection, name)

    def _take(self, name: str) -> Connection | None:
        """The connection that waited longest; None when this worker should end."""
        with self._work:
            self._idle += 1
            while not self._queue and not self._closed:
                had_work = self._work.wait_for(lambda: self._queue or self._closed, self._settings.shrink_after_s)
                if not had_work and self._workers > self._settings.min_workers:
                    break
            self._idle -= 1
            if self._queue:
                _, connection = self._queue.popleft()
                if self._queue:
                    self._pressure.notify()
                return connection
            self._workers -= 1
            left = self._workers
            closed = self._closed
        if not closed:
            self.recorder.event(
                "shrank", f"to {left} workers: {name} had no work for {self._settings.shrink_after_s:g} s"
            )
        return None
