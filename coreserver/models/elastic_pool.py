"""A thread pool that grows while connections wait and shrinks when workers are idle.

    acceptor:  accept ─ put ─ accept ─ put …     never blocks
    queue:     no limit, first come first served
    scaler:    waits until the oldest connection has waited `grow_after_ms`, then adds a worker, up to `max_workers`
    worker-N:  take, serve, take … ; ends after `shrink_after_s` without work, down to `min_workers`

After each added worker, `grow_after_ms` must pass again before the next, so a shorter burst adds no thread. Every
change is recorded as an event with its reason. `max_connections` limits the queue.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from typing_extensions import override

from coreserver.config.base import Seconds
from coreserver.config.server import ServerOptions
from coreserver.errors import CannotStart
from coreserver.models.shared.base import numbered_workers
from coreserver.models.shared.blocking_server import BlockingServer
from coreserver.models.shared.open_connections import Connection
from coreserver.models.shared.worker_queue import WorkerQueue
from coreserver.records.server import Discipline, ServerOutcome
from coreserver.telemetry.recorder import Recorder

SPAWN_PAUSE_S = 1.0  # after a thread could not be started


class ElasticPoolConfig(ServerOptions):
    """Settings of `elastic_pool`."""

    model: Literal["elastic_pool"]
    min_workers: int = Field(default=2, ge=1, le=10_000, description="threads kept even when idle")
    max_workers: int = Field(default=32, ge=1, le=10_000, description="maximum number of serving threads")
    grow_after_ms: float = Field(
        default=50.0, ge=0, le=60_000, description="add a worker when a connection has waited this long"
    )
    shrink_after_s: Seconds = Field(default=5.0, description="end a worker after this long without work")

    @field_validator("max_workers")
    @classmethod
    def _not_below_min_workers(cls, max_workers: int, info: ValidationInfo) -> int:
        if max_workers < info.data.get("min_workers", 1):
            raise ValueError("must be at least min_workers")
        return max_workers


class ElasticPool(BlockingServer):
    """A pool that grows while connections wait and shrinks when workers are idle."""

    Config = ElasticPoolConfig
    config: ElasticPoolConfig
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
        self._queue = WorkerQueue(self.discipline)
        self._changed = threading.Condition()  # guards everything below; the scaler waits here at `max_workers`
        self._workers = 0
        self._started = 0

    @override
    def before_accepting(self) -> None:
        for _ in range(self.config.min_workers):
            self._add_worker()
        self.threads.start("scaler", self._scale)

    @override
    def on_accept(self, connection: Connection) -> None:
        if not self._queue.put(connection):
            self.connections.close(connection, ServerOutcome.CUT_OFF)

    @override
    def queue_depth(self) -> int:
        return self._queue.depth

    @override
    def abandon_queue(self) -> None:
        for connection in self._queue.close():
            self.connections.close(connection, ServerOutcome.CUT_OFF)
        with self._changed:
            self._changed.notify_all()

    # --- the scaler's thread -------------------------------------------------------------------------------------

    def _scale(self) -> None:
        grow_after_s = self.config.grow_after_ms / 1000
        grown_at = 0.0
        while (waited_s := self._queue.wait_overdue(grow_after_s, since=grown_at)) is not None:
            if not self._wait_below_max():
                now = time.monotonic()
                grown_at = now if self._grow(waited_s) else now + SPAWN_PAUSE_S

    def _wait_below_max(self) -> bool:
        """Wait until the pool may grow; return whether it had to wait, because the shortage may then be over."""
        with self._changed:
            had_to_wait = self._workers >= self.config.max_workers
            self._changed.wait_for(lambda: self._queue.is_closed or self._workers < self.config.max_workers)
            return had_to_wait

    def _grow(self, waited_s: float) -> bool:
        try:
            self._add_worker()
        except CannotStart as error:
            self.recorder.event("spawn_failed", str(error))
            return False
        self.recorder.event("grew", f"to {self._workers} workers: a connection has waited {waited_s * 1000:.0f} ms")
        return True

    def _add_worker(self) -> None:
        with self._changed:
            self._workers += 1
            self._started += 1
            name = f"worker-{self._started}"
        try:
            self.threads.start(name, partial(self._work, name))
        except CannotStart:
            with self._changed:
                self._workers -= 1
            raise

    # --- the workers' threads ------------------------------------------------------------------------------------

    def _work(self, name: str) -> None:
        while True:
            connection = self._queue.take(self.config.shrink_after_s)
            if connection is not None:
                self.serve(connection, name)
            elif self._may_end(name):
                return

    def _may_end(self, name: str) -> bool:
        """Return whether a worker without work ends, because the queue is closed or the pool is above its minimum.

        If so, the worker no longer counts.
        """
        is_closed = self._queue.is_closed
        with self._changed:
            if not is_closed and self._workers <= self.config.min_workers:
                return False
            self._workers -= 1
            self._changed.notify_all()
            left = self._workers
        if not is_closed:
            idle_s = self.config.shrink_after_s
            self.recorder.event("shrank", f"to {left} workers: {name} had no work for {idle_s:g} s")
        return True
