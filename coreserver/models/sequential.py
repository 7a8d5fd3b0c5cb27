"""One client at a time: accept, serve to the end, accept the next.

    acceptor:  accept ─ serve ─ accept ─ serve …

The other clients wait in the backlog: their connect() has succeeded, and they are not greeted yet.
"""

from __future__ import annotations

from typing import Literal

from typing_extensions import override

from coreserver.config.server import ServerOptions
from coreserver.models.shared.blocking_server import BlockingServer
from coreserver.models.shared.open_connections import Connection
from coreserver.records.server import Discipline


class SequentialConfig(ServerOptions):
    """Settings of `sequential`."""

    model: Literal["sequential"]


class Sequential(BlockingServer):
    """One client at a time; the others wait in the backlog."""

    Config = SequentialConfig
    discipline = Discipline.FIRST_COME_FIRST_SERVED  # clients wait in the backlog
    support_threads = ()

    @classmethod
    @override
    def worker_names(cls, config: SequentialConfig) -> tuple[str, ...]:
        return ("acceptor",)

    @override
    def on_accept(self, connection: Connection) -> None:
        self.serve(connection, "acceptor")
