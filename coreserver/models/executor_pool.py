"""A thread pool as in the article's code: every connection is submitted to a `ThreadPoolExecutor`.

    acceptor:  accept ─ submit ─ accept ─ submit …        never blocks
    queue:     whatever the workers have not begun yet    no bound: each costs a descriptor and waits ungreeted
    worker-N:  serve, take the next …

The article's prose says that the server blocks until the pool accepts a task. The executor does not work like that:
its queue has no bound. `bounded_pool` is the design of the prose.
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
    workers: int = Field(default=8, ge=1, le=10_000, description="threads that serve; each serves one client at a time")


class ExecutorPool(BlockingServer):
    """The standard library's ThreadPoolExecutor: accepts everybody at once, its queue has no bound."""

    Config = ExecutorPoolConfig
    discipline = Discipline.FIRST_COME_FIRST_SERVED

    @classmethod
    @override
    def worker_names(cls, config: ExecutorPoolConfig) -> tuple[str, ...]:
        return numbered_workers(config.workers)

    def __init__(self, config: ExecutorPoolConfig, recorder: Recorder | None = None) -> None:
        super().__init__(config, recorder)
        self._executor = ThreadPoolExecutor(config.workers, initializer=self._begin_worker)
        self._workers: list[threading.Thread] = []  # appended by each worker as it begins

    def on_accept(self, connection: Connection) -> None:
        """Submit it; the executor starts a worker if it has none idle and fewer than `workers`."""
        try:
            future = self._executor.submit(self._serve, connection)
            future.add_done_callback(lambda done: self._close_if_cancelled(done, connection))
        except RuntimeError as error:
            # submit() queues the task before it starts a thread, so a worker that exists may still take it.
            self.recorder.event("spawn_failed", f"cannot start a worker: {error}")
            if not self._workers:
                self.connections.close(connection, ServerOutcome.ERROR)

    def queue_depth(self) -> int:
        """Connections submitted that no worker has begun."""
        return self.recorder.totals().waiting

    def threads_alive(self) -> int:
        """The accept thread and the workers started so far."""
        return self.threads.alive() + sum(worker.is_alive() for worker in self._workers)

    def abandon_queue(self) -> None:
        """Cancel what no worker has begun; the workers end when they are idle."""
        self._executor.shutdown(wait=False, cancel_futures=True)

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
