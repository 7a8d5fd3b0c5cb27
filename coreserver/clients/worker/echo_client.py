"""A client that sends one message after the other's reply: closed groups and open ones are made of it.

A hundred thousand times a second the same few things happen: a whole reply comes, it is right, it is stamped, and the
next message goes out. `on_event` and `_send` do no more than that; everything else is for `ClientConnection`.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from typing import cast

from coreserver.clients.schedule import Message
from coreserver.clients.worker.connection import READ_BYTES, ClientConnection
from coreserver.clients.worker.context import WorkerContext
from coreserver.clients.worker.epoll import READ
from coreserver.clock import now_ns
from coreserver.records.client import ClientOutcome, ClientRecord
from coreserver.records.message_columns import NOT_ANSWERED, REPLIED
from coreserver.records.place import Place

UNLIMITED = sys.maxsize


class EchoClient(ClientConnection):
    """Sends `messages` messages out of `pool`, beginning with number `first`, and closes.

    A message is due one of `think_ns` after the reply before it, from number `think_from` on in turn; one that would be
    due at `until_ns` or later is not sent, and the client closes. After its last message it calls `again` with the
    instant at which the next one would be due, and then closes.
    """

    def __init__(
        self,
        stage: WorkerContext,
        record: ClientRecord,
        place: Place,
        pool: Sequence[Message],
        *,
        timeout_s: float,
        first: int,
        messages: int = UNLIMITED,
        think_ns: Sequence[int] = (0,),
        think_from: int = 0,
        until_ns: int = UNLIMITED,
        again: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(stage, record, place, timeout_s=timeout_s)
        self._pool = pool
        self._next = first
        self._left = messages
        self._thinks = think_ns
        self._next_think = think_from % len(think_ns)
        self._does_think = any(think_ns)
        self._until_ns = until_ns
        self._again = again
        self._whole_bytes = min(READ_BYTES, len(pool[0].reply) + 1)  # one too many would show
        self._stamps = stage.columns.stamps
        self._row = 0  # of the message under way
        self._reply: bytes | None = None  # owed, and nothing of it has come yet
        self._due_ns = 0  # of the next message, while thinking
        self._is_thinking = False

    def on_greeted(self, at_ns: int) -> None:
        """Begin, with a message that was due when the connection was."""
        sock = cast(socket.socket, self._sock)
        self._recv, self._send_now = sock.recv, sock.send
        self._send(self.record.due_ns)

    def on_event(self, events: int) -> None:
        """Nearly always the whole reply; whatever else it is takes the long way."""
        if events != READ or self._reply is None:
            super().on_event(events)
            return
        try:
            data = self._recv(self.read_bytes)
        except OSError:
            super().on_event(events)  # which meets the same error, and names it
            return
        if data == self._reply:
            self._progress_ns = at_ns = now_ns()
            self.record.bytes_received += len(data)
            self._answered(at_ns)
        else:
            self._reply = None
            self.read_bytes = READ_BYTES
            self.data_received(data) if data else self.eof_received()

    def on_progress(self, at_ns: int, reply: bytes) -> None:
        """A reply that comes in parts is complete with the last of them."""
        if reply and not self.replies.owed:
            self._answered(at_ns)

    def is_waiting_for_peer(self) -> bool:
        """Always, but while it thinks."""
        return not self._is_thinking

    def _answered(self, at_ns: int) -> None:
        self._stamps[self._row + REPLIED] = at_ns
        self._left -= 1
        due_ns = at_ns
        if self._does_think:
            due_ns += self._thinks[self._next_think]
            self._next_think = (self._next_think + 1) % len(self._thinks)
        if not self._left or due_ns >= self._until_ns or self._stage.is_over:
            self._rest()
            if self._again and not self._left:
                self._again(due_ns)  # before the end, or the run may take this client for the last one
            self.end(ClientOutcome.COMPLETED)
        elif self._does_think:
            self._rest()
            self._is_thinking = True
            self._due_ns = due_ns
            self._timers.at(due_ns, self._thought)
        else:
            self._send(due_ns)

    def _rest(self) -> None:
        """Nothing is owed, until the next message."""
        self._reply = None
        self.replies.all_came()

    def _thought(self) -> None:
        if self.record.outcome is None:
            self._is_thinking = False
            self._send(self._due_ns)
            self.wait_for_peer(self._due_ns)

    def _send(self, due_ns: int) -> None:
        data, self._reply = self._pool[self._next]
        self._next = (self._next + 1) % len(self._pool)
        self.read_bytes = self._whole_bytes
        self.replies.owe_alone(self._reply)
        self.record.bytes_sent += len(data)
        self._row = len(self._stamps)
        self._stamps.extend((self._index, due_ns, now_ns(), NOT_ANSWERED))
        try:
            taken = self._send_now(data)
        except OSError:
            taken = 0  # `write` meets the same error, and knows what to do
        if taken < len(data):
            self.write(data[taken:])
