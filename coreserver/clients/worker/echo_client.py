"""The client of closed and open groups: it sends each message after the reply to the one before.

The same few steps happen up to 100,000 times per second: a whole reply is received, compared and stamped, and the next
message is sent. `on_event` and `_send` do only that; `ClientConnection` handles everything else.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from typing import cast

from typing_extensions import override

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
    """A client that sends `messages` messages from `pool`, starting with number `first`, and closes.

    Args:
        think_ns: pauses between a reply and the next message, used in turn from number `think_from` on.
        until_ns: a message that would be due at this time or later is not sent, and the client closes.
        again: called after the last of `messages`, before the close, with the time when the next one would be due.
    """

    def __init__(
        self,
        context: WorkerContext,
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
        super().__init__(context, record, place, timeout_s=timeout_s)
        self._pool = pool
        self._next = first
        self._left = messages
        self._thinks = think_ns
        self._next_think = think_from % len(think_ns)
        self._does_think = any(think_ns)
        self._until_ns = until_ns
        self._again = again
        self._whole_bytes = min(READ_BYTES, len(pool[0].reply) + 1)  # one more, to detect a surplus byte
        self._stamps = context.columns.stamps
        self._row = 0  # of the message in progress
        self._reply: bytes | None = None  # the expected reply; None once a part of it was received
        self._due_ns = 0  # of the next message, while thinking
        self._is_thinking = False

    @override
    def on_greeted(self, at_ns: int) -> None:
        sock = cast(socket.socket, self._sock)
        self._recv, self._send_now = sock.recv, sock.send
        self._send(self.record.due_ns)  # the first message was due with the connection

    @override
    def on_event(self, events: int) -> None:
        # Nearly always the whole reply has arrived; everything else takes the general path.
        if events != READ or self._reply is None:
            super().on_event(events)
            return
        try:
            data = self._recv(self.read_bytes)
        except OSError:
            super().on_event(events)  # gets the same error and records it
            return
        if data == self._reply:
            self._progress_ns = at_ns = now_ns()
            self.record.bytes_received += len(data)
            self._on_reply(at_ns)
        else:
            self._reply = None
            self.read_bytes = READ_BYTES
            self.data_received(data) if data else self.eof_received()

    @override
    def on_progress(self, at_ns: int, reply: bytes) -> None:
        if reply and not self.replies.owed:  # the last part of a reply that came in parts
            self._on_reply(at_ns)

    @override
    def is_waiting_for_peer(self) -> bool:
        return not self._is_thinking

    def _on_reply(self, at_ns: int) -> None:
        self._stamps[self._row + REPLIED] = at_ns
        self._left -= 1
        due_ns = at_ns
        if self._does_think:
            due_ns += self._thinks[self._next_think]
            self._next_think = (self._next_think + 1) % len(self._thinks)
        if not self._left or due_ns >= self._until_ns or self._context.is_over:
            self._settle()
            if self._again and not self._left:
                self._again(due_ns)  # before the end, or this client may count as the last of the run
            self.end(ClientOutcome.COMPLETED)
        elif self._does_think:
            self._settle()
            self._is_thinking = True
            self._due_ns = due_ns
            self._timers.at(due_ns, self._end_thinking)
        else:
            self._send(due_ns)

    def _settle(self) -> None:
        self._reply = None
        self.replies.settle()

    def _end_thinking(self) -> None:
        if self.record.outcome is None:
            self._is_thinking = False
            self._send(self._due_ns)
            self.wait_for_peer(self._due_ns)

    def _send(self, due_ns: int) -> None:
        data, self._reply = self._pool[self._next]
        self._next = (self._next + 1) % len(self._pool)
        self.read_bytes = self._whole_bytes
        self.replies.owe_only(self._reply)
        self.record.bytes_sent += len(data)
        self._row = len(self._stamps)
        self._stamps.extend((self._index, due_ns, now_ns(), NOT_ANSWERED))
        try:
            taken = self._send_now(data)
        except OSError:
            taken = 0  # `write` gets the same error and handles it
        if taken < len(data):
            self.write(data[taken:])
