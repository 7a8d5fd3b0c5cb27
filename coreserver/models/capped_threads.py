"""A thread for every client, up to a cap.

    acceptor:  wait until fewer than `max_clients` are in service ─ accept ─ start thread …     (when_full: wait)
               accept ─ start thread, or turn the peer away at the cap …                        (when_full: refuse)
    client-N:  serve, end

Waiting leaves the next client in the kernel's accept queue: connected but not greeted, at no cost to this process.
Refusing answers at once, and the client knows.
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
    max_clients: int = Field(default=64, ge=1, le=12_000, description="clients in service at once, a thread each")
    when_full: Literal["wait", "refuse"] = Field(
        default="wait", description="at the cap: stop accepting, or turn the peer away"
    )


class CappedThreads(ThreadPerClient):
    """A thread for every client up to a cap; there it stops accepting, or refuses."""

    Config = CappedThreadsConfig
    config: CappedThreadsConfig
    discipline = Discipline.FIRST_COME_FIRST_SERVED  # in the backlog

    @classmethod
    @override
    def max_threads(cls, config: CappedThreadsConfig) -> int:
        return config.max_clients

    def __init__(self, config: CappedThreadsConfig, recorder: Recorder | None = None) -> None:
        caps = [config.max_connections]
        if config.when_full == "wait":
            caps.append(config.max_clients)
        super().__init__(config, recorder, connection_limit=min((cap for cap in caps if cap is not None), default=None))

    def on_accept(self, connection: Connection) -> None:
        """Give it a thread, or turn it away when `max_clients` others are in flight."""
        if self.recorder.totals().active > self.config.max_clients:
            self.refuse(connection, f"clients in service: {self.config.max_clients}")
        else:
            super().on_accept(connection)
