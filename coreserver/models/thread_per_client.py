"""A thread for every client, as in the article's C server.

    acceptor:  accept ─ start thread ─ accept ─ start thread …
    client-1:  serve, end
    client-2:  serve, end …

Nobody waits for anybody else, and nothing bounds the number of threads but the machine (and `max_connections`).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from coreserver.config.server import ServerOptions
from coreserver.errors import CannotStart
from coreserver.models.shared.blocking_server import BlockingServer
from coreserver.models.shared.open_connections import Connection
from coreserver.records.server import ServerOutcome


class ThreadPerClientConfig(ServerOptions):
    """Settings of `thread_per_client`."""

    model: Literal["thread_per_client"]


class ThreadPerClient(BlockingServer):
    """A thread for every client, started at accept and ended with its connection."""

    Config: ClassVar[type[ServerOptions]] = ThreadPerClientConfig

    def on_accept(self, connection: Connection) -> None:
        """Give the connection a thread of its own; if the machine has none, this client alone is closed."""
        name = f"client-{connection.record.number}"
        try:
            self.threads.start(name, lambda: self.serve(connection, name))
        except CannotStart as error:
            self.recorder.event("spawn_failed", str(error))
            self.connections.close(connection, ServerOutcome.ERROR)
