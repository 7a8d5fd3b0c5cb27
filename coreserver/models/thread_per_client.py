"""One thread per client, as in the article's C server.

    acceptor:  accept ─ start thread ─ accept ─ start thread …
    client-1:  serve, end
    client-2:  serve, end …

No client waits for another. The number of threads is limited only by the machine and by `max_connections`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from typing_extensions import override

from coreserver.config.server import ServerOptions
from coreserver.errors import CannotStart
from coreserver.models.shared.blocking_server import BlockingServer
from coreserver.models.shared.open_connections import Connection
from coreserver.records.server import ServerOutcome


class ThreadPerClientConfig(ServerOptions):
    """Settings of `thread_per_client`."""

    model: Literal["thread_per_client"]


class ThreadPerClient(BlockingServer):
    """One thread per client, started at accept and ended with its connection."""

    Config: ClassVar[type[ServerOptions]] = ThreadPerClientConfig

    @override
    def on_accept(self, connection: Connection) -> None:
        """Start a thread for `connection`; if that fails, close this connection only."""
        name = f"client-{connection.record.number}"
        try:
            self.threads.start(name, lambda: self.serve(connection, name))
        except CannotStart as error:
            self.recorder.event("spawn_failed", str(error))
            self.connections.close(connection, ServerOutcome.ERROR)
