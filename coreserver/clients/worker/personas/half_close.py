"""The half-closing client: it shuts down its sending side first and still expects the reply."""

from __future__ import annotations

from typing_extensions import override

from coreserver.clients.worker.personas.persona import Persona
from coreserver.clock import now_ns
from coreserver.config.personas import HalfCloseGroup
from coreserver.records.client import ClientOutcome


class HalfCloseClient(Persona[HalfCloseGroup]):
    """A client that sends one message, shuts down its sending side, and expects the whole reply followed by EOF."""

    @override
    def on_greeted(self, at_ns: int) -> None:
        sent_ns = self.send(*self.take_message())
        self.record_message(self.record.due_ns, sent_ns)
        self._close_own_side_when_sent()

    @override
    def on_progress(self, at_ns: int, reply: bytes) -> None:
        self._close_own_side_when_sent()  # the kernel may have taken the rest of the message

    @override
    def is_waiting_for_peer(self) -> bool:
        return True

    @override
    def eof_received(self) -> None:
        if self.record.greeted_ns is not None and not self.replies.owed:
            self.end(ClientOutcome.COMPLETED)
        else:
            super().eof_received()

    def _close_own_side_when_sent(self) -> None:
        if self.record.closed_ns is None and not self.is_write_blocked and self.record.outcome is None:
            self.record.closed_ns = now_ns()
            self.close_own_side()
