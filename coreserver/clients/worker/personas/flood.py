"""The flooding client: a connection that is reset immediately."""

from __future__ import annotations

from typing_extensions import override

from coreserver.clients.worker.personas.persona import Persona
from coreserver.config.personas import FloodGroup
from coreserver.records.client import ClientOutcome


class FloodClient(Persona[FloodGroup]):
    """A client that connects, and resets the connection as soon as it is established."""

    @override
    def on_connected(self) -> bool:
        self.reset_at_close()
        self.end(ClientOutcome.COMPLETED)
        return False

    @override
    def on_greeted(self, at_ns: int) -> None:
        pass  # never called: the client has ended by then

    @override
    def on_progress(self, at_ns: int, reply: bytes) -> None:
        pass  # never called, as above

    @override
    def is_waiting_for_peer(self) -> bool:
        return True
