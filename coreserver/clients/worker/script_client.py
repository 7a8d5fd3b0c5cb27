"""A client that plays a script: sends, pauses, waits for what it expects, and closes when every reply has come."""

from __future__ import annotations

from collections.abc import Sequence

from coreserver.clients.script_plan import Action, Await, Pause, Say
from coreserver.clients.worker.connection import ClientConnection
from coreserver.clients.worker.context import WorkerContext
from coreserver.clock import now_ns
from coreserver.records.client import ClientOutcome, ClientRecord
from coreserver.records.place import Place


class ScriptPlayer(ClientConnection):
    """Plays `actions` once it was greeted."""

    keeps_log = True

    def __init__(
        self, stage: WorkerContext, record: ClientRecord, place: Place, actions: Sequence[Action], *, timeout_s: float
    ) -> None:
        super().__init__(stage, record, place, timeout_s=timeout_s)
        self._actions = actions
        self._next = 0
        self._ready_ns = 0  # when the next action could begin
        self._has_sent = False  # a whole message
        self._paused = False
        self._paused_for_ns = 0  # all deliberate pauses so far
        self._awaits_left = sum(isinstance(action, Await) for action in actions)
        self._unused = bytearray()  # replies that no Await has used up, while there are Awaits to come

    def on_greeted(self, at_ns: int) -> None:
        """Begin."""
        self._ready_ns = at_ns
        self._play()

    def on_progress(self, at_ns: int, reply: bytes) -> None:
        """Go on, unless this is a pause."""
        if self._awaits_left:
            self._unused += reply
        if not self._paused:
            self._ready_ns = at_ns
            self._play()

    def is_waiting_for_peer(self) -> bool:
        """Always, but for the pauses of the script."""
        return not self._paused

    def where(self) -> str:
        """How far the client has come, and what the script expects there."""
        action = self._actions[self._next] if self._next < len(self._actions) else None
        if self.record.greeted_ns is not None and isinstance(action, Await):
            return f"{super().where()}, expecting {action.text!r}"
        return super().where()

    def _play(self) -> None:
        """Do what can be done now, until the script makes us wait or is over."""
        while self._next < len(self._actions):
            if not self._do(self._actions[self._next]):
                return
            self._next += 1
        if self.replies.owed or self.is_write_blocked:
            self.wait_for_peer(now_ns())
        else:
            self.end(ClientOutcome.COMPLETED)

    def _do(self, action: Action) -> bool:
        """Do `action`; False when the next one has to wait."""
        match action:
            case Say():
                return self._say(action)
            case Await():
                return self._await(action.text)
            case Pause():
                self._paused = True
                self._paused_for_ns += action.wait_ns
                self._ready_ns += action.wait_ns
                self._timers.at(self._ready_ns, self._pause_ended)
                return False

    def _pause_ended(self) -> None:
        if self.record.outcome is None:
            self._paused = False
            self._next += 1
            self._play()

    def _say(self, say: Say) -> bool:
        if self.is_write_blocked:
            self.wait_for_peer(now_ns())
            return False
        due_ns = self._ready_ns
        self._ready_ns = sent_ns = self.send(say.data, say.reply)
        for reply_end in say.replies_end:
            row = self._stage.columns.add(self._index, due_ns if self._has_sent else self._first_due_ns(), sent_ns)
            self._has_sent = True
            if reply_end is None:
                self._stage.columns.answered(row, sent_ns)
            else:
                self.replies.verify(row, reply_end)
        return True

    def _first_due_ns(self) -> int:
        """When the connection's first message was meant to be sent: as if the greeting had cost no time."""
        return self.record.due_ns + self._paused_for_ns

    def _await(self, text: bytes) -> bool:
        found = self._unused.find(text)
        if found < 0:
            del self._unused[: max(0, len(self._unused) - len(text) + 1)]  # a match would use it up as well
            self.wait_for_peer(now_ns())
            return False
        self._awaits_left -= 1
        del self._unused[: found + len(text) if self._awaits_left else len(self._unused)]
        return True
