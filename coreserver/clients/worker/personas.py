"""Clients as no server wants them, each kind a class: silent, slow, vanishing, half closed, or gone at once."""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Sequence

from coreserver.clients.schedule import Message
from coreserver.clients.worker.connection import ClientConnection
from coreserver.clients.worker.context import WorkerContext
from coreserver.clock import NS_PER_S, now_ns
from coreserver.records.client import ClientOutcome, ClientRecord
from coreserver.records.place import Place

TICK_NS = NS_PER_S // 50  # between the steps of a slow client, unless a single byte takes longer
SMALL_BUFFER_BYTES = 4096  # to receive in: what a slow reader has not taken is soon the server's to keep
MAX_OWED_BYTES = 4 << 20  # to a slow reader; what it asks for grows no further


class IdlePlayer(ClientConnection):
    """Connects and holds its connection until `hold_ns` after it was due."""

    def __init__(
        self, stage: WorkerContext, record: ClientRecord, place: Place, *, timeout_s: float, hold_ns: int
    ) -> None:
        super().__init__(stage, record, place, timeout_s=timeout_s)
        self._hold_ns = hold_ns

    def start(self) -> None:
        """Connect, and plan the end."""
        super().start()
        if self.record.outcome is None:
            self._timers.at(self.record.due_ns + self._hold_ns, self._let_go)

    def on_greeted(self, at_ns: int) -> None:
        """Say nothing."""

    def on_progress(self, at_ns: int, reply: bytes) -> None:
        """There is none: any byte is one too many."""

    def is_waiting_for_peer(self) -> bool:
        """Silence is what it is here for."""
        return False

    def _let_go(self) -> None:
        if self.record.greeted_ns is None:
            self.end(ClientOutcome.TIMED_OUT, f"held for {self._hold_ns / NS_PER_S:g} s without a greeting")
        else:
            self.end(ClientOutcome.COMPLETED)


class _SlowPlayer(ClientConnection):
    """Does `step` so often that `bytes_per_s` bytes pass, for `duration_ns` from its greeting."""

    def __init__(
        self,
        stage: WorkerContext,
        record: ClientRecord,
        place: Place,
        pool: Sequence[Message],
        *,
        timeout_s: float,
        first: int,
        bytes_per_s: float,
        duration_ns: int,
    ) -> None:
        super().__init__(stage, record, place, timeout_s=timeout_s)
        self._pool = pool
        self._next = first
        self._step_bytes = max(1, round(bytes_per_s * TICK_NS / NS_PER_S))
        self._step_ns = round(self._step_bytes * NS_PER_S / bytes_per_s)
        self._duration_ns = duration_ns
        self._began_ns = self._due_ns = 0

    @abstractmethod
    def step(self, due_ns: int) -> None:
        """Let `_step_bytes` pass."""

    @abstractmethod
    def finish(self) -> None:
        """The time is over."""

    def on_greeted(self, at_ns: int) -> None:
        """Begin."""
        self._began_ns = self._due_ns = at_ns
        self._tick()

    def is_waiting_for_peer(self) -> bool:
        """While replies are owed."""
        return self.replies.owed > 0

    def _tick(self) -> None:
        if self.record.outcome is not None:
            return
        if self._due_ns >= self._began_ns + self._duration_ns:
            self.finish()
            return
        self.step(self._due_ns)
        self._due_ns = min(self._due_ns + self._step_ns, self._began_ns + self._duration_ns)
        self._timers.at(self._due_ns, self._tick)

    def _take_message(self) -> Message:
        message = self._pool[self._next]
        self._next = (self._next + 1) % len(self._pool)
        return message

    def _note(self, due_ns: int, sent_ns: int) -> None:
        """A message's last payload byte went out; its reply ends with all that is owed now."""
        first_due_ns = self.record.due_ns + due_ns - self._began_ns  # as if the greeting had cost no time
        row = self._stage.columns.add(self._index, due_ns if self._has_noted else first_due_ns, sent_ns)
        self._has_noted = True
        self.replies.verify(row, self.replies.came + self.replies.owed)

    _has_noted = False


class SlowWriterPlayer(_SlowPlayer):
    """Sends its messages a trickle at a time; at the end it waits for the replies to what it has sent."""

    _left = b""  # of the message under way
    _reply_left = b""
    _is_done = False

    def step(self, due_ns: int) -> None:
        """Send the next bytes, as far as this message goes."""
        if self.is_write_blocked:
            return
        if not self._left:
            self._left, self._reply_left = self._take_message()
        piece, self._left = self._left[: self._step_bytes], self._left[self._step_bytes :]
        # A message is `^`, its payload and `$`: what is left after the piece says how much of the reply it calls for.
        later = max(0, len(self._left) - 1)
        now, self._reply_left = self._split_reply(later)
        sent_ns = self.send(piece, now)
        if now and not self._reply_left:
            self._note(due_ns, sent_ns)
        if self.replies.owed:
            self.wait_for_peer(sent_ns)

    def finish(self) -> None:
        """Close as soon as nothing is owed."""
        self._is_done = True
        self._close_if_done()

    def on_progress(self, at_ns: int, reply: bytes) -> None:
        """Perhaps the last reply."""
        self._close_if_done()

    def _split_reply(self, later: int) -> tuple[bytes, bytes]:
        cut = len(self._reply_left) - min(later, len(self._reply_left))
        return self._reply_left[:cut], self._reply_left[cut:]

    def _close_if_done(self) -> None:
        if self._is_done and not self.replies.owed:
            self.end(ClientOutcome.COMPLETED)


class SlowReaderPlayer(_SlowPlayer):
    """Asks for as much as the connection takes and reads the replies a trickle at a time; at the end it just goes."""

    def socket_options(self) -> Sequence[tuple[int, int, int]]:
        """A small buffer; set later it would no longer narrow the window."""
        return [(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)]

    def on_greeted(self, at_ns: int) -> None:
        """From now on nobody reads but us."""
        self.pause_reading()
        super().on_greeted(at_ns)

    def on_progress(self, at_ns: int, reply: bytes) -> None:
        """Nothing hangs on it: the next step comes by itself."""

    def is_waiting_for_peer(self) -> bool:
        """Not between its reads, however far apart they are: what has come lies there until the next one."""
        return False

    def step(self, due_ns: int) -> None:
        """Ask for more where there is room, and read a little; nothing there for too long is the peer's doing."""
        while not self.is_write_blocked and self.replies.owed < MAX_OWED_BYTES:
            data, reply = self._take_message()
            self._note_sent(due_ns, data, reply)
        had_bytes = self.record.bytes_received
        self.read(self._step_bytes)
        is_silent = self.record.bytes_received == had_bytes
        if is_silent and now_ns() >= self._progress_ns + self._timeouts.timeout_ns:
            self.end(ClientOutcome.TIMED_OUT, f"no progress for {self._timeout_s:g} s {self.where()}")

    def finish(self) -> None:
        """Leave what was not read."""
        self.reset_at_close()
        self.end(ClientOutcome.COMPLETED)

    def _note_sent(self, due_ns: int, data: bytes, reply: bytes) -> None:
        sent_ns = self.send(data, reply)
        self._note(due_ns, sent_ns)
        self._progress_ns = sent_ns


class ResetPlayer(ClientConnection):
    """Sends `data`, the beginning of a message, and vanishes with a RST."""

    def __init__(
        self, stage: WorkerContext, record: ClientRecord, place: Place, *, timeout_s: float, data: bytes, reply: bytes
    ) -> None:
        super().__init__(stage, record, place, timeout_s=timeout_s)
        self._data, self._reply = data, reply

    def on_greeted(self, at_ns: int) -> None:
        """Send, and go when the kernel has taken it."""
        if self._data:
            self.send(self._data, self._reply)
        if not self.is_write_blocked:
            self._vanish()

    def on_progress(self, at_ns: int, reply: bytes) -> None:
        """Perhaps the kernel has taken it now."""
        if not self.is_write_blocked:
            self._vanish()

    def is_waiting_for_peer(self) -> bool:
        """To take what is sent."""
        return True

    def _vanish(self) -> None:
        self.reset_at_close()
        self.end(ClientOutcome.COMPLETED)


class HalfClosePlayer(ClientConnection):
    """Sends one message, closes its own side, and wants the whole reply and then the peer's end."""

    def __init__(
        self, stage: WorkerContext, record: ClientRecord, place: Place, message: Message, *, timeout_s: float
    ) -> None:
        super().__init__(stage, record, place, timeout_s=timeout_s)
        self._message = message

    def on_greeted(self, at_ns: int) -> None:
        """Say all there is to say."""
        sent_ns = self.send(*self._message)
        row = self._stage.columns.add(self._index, self.record.due_ns, sent_ns)
        self.replies.verify(row, self.replies.owed)
        self._close_own_side_when_sent()

    def on_progress(self, at_ns: int, reply: bytes) -> None:
        """Perhaps the kernel has taken all of the message; the peer's end is still to come."""
        self._close_own_side_when_sent()

    def is_waiting_for_peer(self) -> bool:
        """Always."""
        return True

    def eof_received(self) -> None:
        """The peer has ended too: rightly, when it has said everything."""
        if self.record.greeted_ns is not None and not self.replies.owed:
            self.end(ClientOutcome.COMPLETED)
        else:
            super().eof_received()

    def _close_own_side_when_sent(self) -> None:
        if self.record.closed_ns is None and not self.is_write_blocked and self.record.outcome is None:
            self.record.closed_ns = now_ns()
            self.close_own_side()


class FloodPlayer(ClientConnection):
    """Connects, and resets the connection when it is made."""

    def on_connected(self) -> bool:
        """That was all."""
        self.reset_at_close()
        self.end(ClientOutcome.COMPLETED)
        return False

    def on_greeted(self, at_ns: int) -> None:
        """It never stays so long."""

    def on_progress(self, at_ns: int, reply: bytes) -> None:
        """It never stays so long."""

    def is_waiting_for_peer(self) -> bool:
        """To connect."""
        return True
