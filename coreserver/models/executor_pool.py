"""A thread pool as in the article's code: every connection is submitted to a `ThreadPoolExecutor`.

    acceptor:  accept ─ submit ─ accept ─ submit …        never blocks
    queue:     tasks that no worker has started yet       no limit; each uses a descriptor and is not greeted
    worker-N:  serve, take the next task …

The article's text says that the server blocks until the pool accepts a task. The executor does not: its queue has no
limit. `bounded_pool` is the design of the text.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

from pydantic import Field
from typing_extensions import override

from coreserver.config.server import ServerOptions
from coreserver.models.shared.base import numbered_workers
from coreserver.models.shared.blocking_server import BlockingServer
from coreserver.models.shared.open_connections import Connection
from coreserver.records.server import Discipline, ServerOutcome
from coreserver.telemetry.recorder import Recorder


class ExecutorPoolConfig(ServerOptions):
    """Settings of `executor_pool`."""

    model: Literal["executor_pool"]
    workers: int = Field(default=8, ge=1, le=10_000, description="threads that serve, each one client at a time")


class ExecutorPool(BlockingServer):
    """The standard library's ThreadPoolExecutor: every connection is accepted immediately; the queue has no limit."""

    Config = ExecutorPoolConfig
    discipline = Discipline.FIRST_COME_FIRST_SERVED

    @classmethod
    @override
    def worker_names(cls, config: ExecutorPoolConfig) -> tuple[str, ...]:
        return numbered_workers(config.workers)

    def __init__(self, config: ExecutorPoolConfig, recorder: Recorder | None = None) -> None:
        super().__init__(config, recorder)
        self._executor = ThreadPoolExecutor(config.workers, initializer=self._begin_worker)
        self._workers: list[threading.Thread] = []  # appended by each worker as it starts

    @override
    def on_accept(self, connection: Connection) -> None:
        """Submit `connection`; the executor starts a worker if none is idle and there are fewer than `workers`."""
        try:
            future = self._executor.submit(self._serve, connection)
            future.add_done_callback(lambda done: self._close_if_cancelled(done, connection))
        except RuntimeError as error:
            # submit() queues the task before it starts a thread, so an existing worker may still take it.
            self.recorder.event("spawn_failed", f"cannot start a worker: {error}")
            if not self._workers:
                self.connections.close(connection, ServerOutcome.ERROR)

    @override
    def queue_depth(self) -> int:
        return self.recorder.totals().waiting

    @override
    def threads_alive(self) -> int:
        return self.threads.alive() + sum(worker.is_alive() for worker in self._workers)

    @override
    def abandon_queue(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    @override
    def _join(self, deadline_s: float) -> bool:
        joined = super()._join(deadline_s)
        for worker in self._workers:
            worker.join(deadline_s)
        return joined and not any(worker.is_alive() for worker in self._workers)

    def _begin_worker(self) -> None:
        worker = threading.current_thread()
        self._workers.append(worker)
        worker.name = f"worker-{len(self._workers)}"

    def _serve(self, connection: Connection) -> None:
        if not connection.ended:
            self.serve(connection, threading.current_thread().name)

    def _close_if_cancelled(self, task: Future[None], connection: Connection) -> None:
        if task.cancelled():
            self.connections.close(connection, ServerOutcome.CUT_OFF)
