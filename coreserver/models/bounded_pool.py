"""A thread pool with a bounded queue, as the article's prose describes it.

    acceptor:  accept ─ put ─ accept ─ put …     `put` blocks while every worker is busy and the queue is full
    queue:     at most `queue_limit` connections, first come first served
    worker-N:  take, serve, take, serve …

While the acceptor is blocked, new connections fill the backlog. When that is full, attempts to connect time out: the
pressure reaches the clients instead of filling the server with open connections. With `when_full: refuse` the acceptor
refuses a connection instead.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import Field
from typing_extensions import override

from coreserver.config.server import ServerOptions
from coreserver.models.shared.base import numbered_workers
from coreserver.models.shared.blocking_server import BlockingServer
from coreserver.models.shared.open_connections import Connection
from coreserver.models.shared.worker_queue import WorkerQueue
from coreserver.records.server import Discipline, ServerOutcome
from coreserver.telemetry.recorder import Recorder


class BoundedPoolConfig(ServerOptions):
    """Settings of `bounded_pool`."""

    model: Literal["bounded_pool"]
    workers: int = Field(default=8, ge=1, le=10_000, description="threads that serve, each one client at a time")
    queue_limit: int = Field(
        default=64, ge=0, le=100_000, description="accepted connections that may wait in the queue; 0: none"
    )
    when_full: Literal["wait", "refuse"] = Field(
        default="wait", description="when workers are busy and the queue is full: stop accepting, or refuse the client"
    )


class BoundedPool(BlockingServer):
    """Fixed workers take connections from a bounded queue; when it is full the accept loop blocks or refuses."""

    Config = BoundedPoolConfig
    config: BoundedPoolConfig
    discipline = Discipline.FIRST_COME_FIRST_SERVED

    @classmethod
    @override
    def worker_names(cls, config: BoundedPoolConfig) -> tuple[str, ...]:
        return numbered_workers(config.workers)

    def __init__(self, config: BoundedPoolConfig, recorder: Recorder | None = None) -> None:
        super().__init__(config, recorder)
        self._queue = WorkerQueue(self.discipline, limit=config.queue_limit)

    @override
    def before_accepting(self) -> None:
        for name in self.worker_names(self.config):
            self.threads.start(name, partial(self._work, name))

    @override
    def on_accept(self, connection: Connection) -> None:
        if self.config.when_full == "refuse":
            if not self._queue.offer(connection):
                workers, limit = self.config.workers, self.config.queue_limit
                self.refuse(connection, f"workers busy: {workers}, connections waiting: {limit}")
        elif not self._queue.put(connection):
            self.connections.close(connection, ServerOutcome.CUT_OFF)

    @override
    def queue_depth(self) -> int:
        return self._queue.depth

    @override
    def abandon_queue(self) -> None:
        for connection in self._queue.close():
            self.connections.close(connection, ServerOutcome.CUT_OFF)

    def _work(self, name: str) -> None:
        while (connection := self._queue.take()) is not None:
            self.serve(connection, name)
