"""A pool that serves the newest connection first: the model that tests add to a copy of the project.

acceptor:  accept ─ put ─ accept ─ put …     `put` blocks while every worker is busy and the queue is full
queue:     at most `queue_limit` connections, last come first served
worker-N:  take, serve, take, serve …
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


class NewestFirstConfig(ServerOptions):
    """Settings of `newest_first`."""

    model: Literal["newest_first"]
    workers: int = Field(default=4, ge=1, le=10_000, description="threads that serve")
    queue_limit: int = Field(default=64, ge=0, le=100_000, description="accepted connections that may wait")


class NewestFirst(BlockingServer):
    """Fixed workers take the newest connection of a bounded queue."""

    Config = NewestFirstConfig
    config: NewestFirstConfig
    discipline = Discipline.LAST_COME_FIRST_SERVED

    @classmethod
    @override
    def worker_names(cls, config: NewestFirstConfig) -> tuple[str, ...]:
        return numbered_workers(config.workers)

    def __init__(self, config: NewestFirstConfig, recorder: Recorder | None = None) -> None:
        super().__init__(config, recorder)
        self._queue = WorkerQueue(self.discipline, limit=config.queue_limit)

    @override
    def before_accepting(self) -> None:
        for name in self.worker_names(self.config):
            self.threads.start(name, partial(self._work, name))

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

    def _work(self, name: str) -> None:
        while (connection := self._queue.take()) is not None:
            self.serve(connection, name)
