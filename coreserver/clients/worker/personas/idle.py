"""The idle client: it holds a connection open and sends nothing."""

from __future__ import annotations

from typing_extensions import override

from coreserver.clients.worker.personas.persona import Persona
from coreserver.clock import NS_PER_S
from coreserver.config.personas import IdleGroup
from coreserver.records.client import ClientOutcome


class IdleClient(Persona[IdleGroup]):
    """A client that connects and holds its connection until `hold_s` after it was due."""

    @override
    def start(self) -> None:
        super().start()
        if self.record.outcome is None:
            self._timers.at(self.record.due_ns + round(self.group.hold_s * NS_PER_S), self._finish)

    @override
    def on_greeted(self, at_ns: int) -> None:
        pass

    @override
    def on_progress(self, at_ns: int, reply: bytes) -> None:
        pass  # never called: the client sends nothing, so any byte is a wrong reply

    @override
    def is_waiting_for_peer(self) -> bool:
        return False

    def _finish(self) -> None:
        if self.record.greeted_ns is None:
            self.end(ClientOutcome.TIMED_OUT, f"held for {self.group.hold_s:g} s without a greeting")
        else:
            self.end(ClientOutcome.COMPLETED)
