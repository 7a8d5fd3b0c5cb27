"""The resetting client: it resets its connection in the middle of a message."""

from __future__ import annotations

from typing_extensions import override

from coreserver.clients.worker.personas.persona import Persona
from coreserver.config.personas import ResetGroup
from coreserver.records.client import ClientOutcome


class ResetClient(Persona[ResetGroup]):
    """A client that sends the first `after_bytes` of a message and resets the connection (RST)."""

    @override
    def on_greeted(self, at_ns: int) -> None:
        message, length = self.take_message(), self.group.after_bytes
        if length:
            self.send(message.data[:length], message.reply[: length - 1])  # the first byte is `^`
        self._reset_when_sent()

    @override
    def on_progress(self, at_ns: int, reply: bytes) -> None:
        self._reset_when_sent()

    @override
    def is_waiting_for_peer(self) -> bool:
        return True

    def _reset_when_sent(self) -> None:
        if not self.is_write_blocked:
            self.reset_at_close()
            self.end(ClientOutcome.COMPLETED)
