"""One thread per client, up to a maximum.

    acceptor:  wait until fewer than `max_clients` are in service ─ accept ─ start thread …     (when_full: wait)
               accept ─ start thread, or refuse when `max_clients` are in service …             (when_full: refuse)
    client-N:  serve, end

While the acceptor waits, the next client stays in the backlog: connected and not greeted, at no cost to this process.
A refused client is closed immediately.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from typing_extensions import override

from coreserver.config.server import ServerOptions
from coreserver.models.shared.open_connections import Connection
from coreserver.models.thread_per_client import ThreadPerClient
from coreserver.records.server import Discipline
from coreserver.telemetry.recorder import Recorder


class CappedThreadsConfig(ServerOptions):
    """Settings of `capped_threads`."""

    model: Literal["capped_threads"]
    max_clients: int = Field(
        default=64, ge=1, le=12_000, description="maximum number of clients in service, one thread each"
    )
    when_full: Literal["wait", "refuse"] = Field(
        default="wait", description="when `max_clients` are in service: stop accepting, or refuse the client"
    )


class CappedThreads(ThreadPerClient):
    """One thread per client, up to a maximum; when it is reached, the server stops accepting or refuses."""

    Config = CappedThreadsConfig
    config: CappedThreadsConfig
    discipline = Discipline.FIRST_COME_FIRST_SERVED  # clients wait in the backlog

    @classmethod
    @override
    def max_threads(cls, config: CappedThreadsConfig) -> int:
        return config.max_clients

    def __init__(self, config: CappedThreadsConfig, recorder: Recorder | None = None) -> None:
        limits = [config.max_connections]
        if config.when_full == "wait":
            limits.append(config.max_clients)
        super().__init__(
            config, recorder, connection_limit=min((limit for limit in limits if limit is not None), default=None)
        )

    @override
    def on_accept(self, connection: Connection) -> None:
        """Start a thread for `connection`, or refuse it if `max_clients` others are in flight."""
        if self.recorder.totals().active > self.config.max_clients:
            self.refuse(connection, f"clients in service: {self.config.max_clients}")
        else:
            super().on_accept(connection)
