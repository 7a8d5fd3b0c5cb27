"""The scripted client: it sends, pauses, waits for expected text, and closes when it has every reply."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from coreserver.clients.script_plan import Action, Await, Pause, Say
from coreserver.clients.worker.connection import ClientConnection
from coreserver.clients.worker.context import WorkerContext
from coreserver.clock import now_ns
from coreserver.records.client import ClientOutcome, ClientRecord
from coreserver.records.place import Place


class ScriptClient(ClientConnection):
    """A client that runs `actions` after the greeting, in order."""

    keeps_log = True

    def __init__(
        self, context: WorkerContext, record: ClientRecord, place: Place, actions: Sequence[Action], *, timeout_s: float
    ) -> None:
        super().__init__(context, record, place, timeout_s=timeout_s)
        self._actions = actions
        self._next = 0
        self._ready_ns = 0  # when the next action could begin
        self._has_sent = False  # a whole message
        self._is_paused = False
        self._paused_for_ns = 0  # all deliberate pauses so far
        self._awaits_left = sum(isinstance(action, Await) for action in actions)
        self._unused = bytearray()  # replies that no Await has consumed, while Awaits are left

    @override
    def on_greeted(self, at_ns: int) -> None:
        self._ready_ns = at_ns
        self._play()

    @override
    def on_progress(self, at_ns: int, reply: bytes) -> None:
        if self._awaits_left:
            self._unused += reply
        if not self._is_paused:
            self._ready_ns = at_ns
            self._play()

    @override
    def is_waiting_for_peer(self) -> bool:
        return not self._is_paused

    @override
    def describe_state(self) -> str:
        action = self._actions[self._next] if self._next < len(self._actions) else None
        if self.record.greeted_ns is not None and isinstance(action, Await):
            return f"{super().describe_state()}, expecting {action.text!r}"
        return super().describe_state()

    def _play(self) -> None:
        """Run the next actions until one has to wait or the script is over."""
        while self._next < len(self._actions):
            if not self._do(self._actions[self._next]):
                return
            self._next += 1
        if self.replies.owed or self.is_write_blocked:
            self.wait_for_peer(now_ns())
        else:
            self.end(ClientOutcome.COMPLETED)

    def _do(self, action: Action) -> bool:
        """Run `action`; return False if the script has to wait."""
        match action:
            case Say():
                return self._say(action)
            case Await():
                return self._await(action.text)
            case Pause():
                self._is_paused = True
                self._paused_for_ns += action.wait_ns
                self._ready_ns += action.wait_ns
                self._timers.at(self._ready_ns, self._end_pause)
                return False

    def _end_pause(self) -> None:
        if self.record.outcome is None:
            self._is_paused = False
            self._next += 1
            self._play()

    def _say(self, say: Say) -> bool:
        if self.is_write_blocked:
            self.wait_for_peer(now_ns())
            return False
        due_ns = self._ready_ns
        self._ready_ns = sent_ns = self.send(say.data, say.reply)
        for reply_end in say.replies_end:
            row = self._context.columns.add(self._index, due_ns if self._has_sent else self._first_due_ns(), sent_ns)
            self._has_sent = True
            if reply_end is None:
                self._context.columns.mark_answered(row, sent_ns)
            else:
                self.replies.stamp_at(row, reply_end)
        return True

    def _first_due_ns(self) -> int:
        """Return when the first message was due: as if the greeting had taken no time."""
        return self.record.due_ns + self._paused_for_ns

    def _await(self, text: bytes) -> bool:
        found = self._unused.find(text)
        if found < 0:
            del self._unused[: max(0, len(self._unused) - len(text) + 1)]  # a match would consume it as well
            self.wait_for_peer(now_ns())
            return False
        self._awaits_left -= 1
        del self._unused[: found + len(text) if self._awaits_left else len(self._unused)]
        return True
