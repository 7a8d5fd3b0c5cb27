"""Slow clients: they write or read a few bytes at a time."""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from typing_extensions import override

from coreserver.clients.schedule import GroupPlan
from coreserver.clients.worker.context import WorkerContext
from coreserver.clients.worker.personas.persona import Persona
from coreserver.clock import NS_PER_S, now_ns
from coreserver.config.personas import SlowGroup, SlowReaderGroup, SlowWriterGroup
from coreserver.records.client import ClientOutcome, ClientRecord
from coreserver.records.place import Place

TICK_NS = NS_PER_S // 50  # between the steps of a slow client, unless a single byte takes longer
SMALL_BUFFER_BYTES = 4096  # receive buffer, which is soon full, so that the server must keep the unread replies
MAX_OWED_BYTES = 4 << 20  # unread reply bytes at which a slow reader stops requesting more

Group = TypeVar("Group", bound=SlowGroup)


class SlowClient(Persona[Group]):
    """A client that repeats `step` at the rate of `bytes_per_s` bytes, for `duration_s` after its greeting."""

    def __init__(
        self, context: WorkerContext, record: ClientRecord, place: Place, group: Group, plan: GroupPlan
    ) -> None:
        super().__init__(context, record, place, group, plan)
        self._step_bytes = max(1, round(group.bytes_per_s * TICK_NS / NS_PER_S))
        self._step_ns = round(self._step_bytes * NS_PER_S / group.bytes_per_s)
        self._due_ns = self._began_ns = self._end_ns = 0  # of the next step, and of the whole
        self._has_sent = False  # a whole message

    @abstractmethod
    def step(self, due_ns: int) -> None:
        """Write or read `_step_bytes`."""

    @abstractmethod
    def finish(self) -> None:
        """End the client: its time is over."""

    @override
    def on_greeted(self, at_ns: int) -> None:
        self._began_ns = self._due_ns = at_ns
        self._end_ns = at_ns + round(self.group.duration_s * NS_PER_S)
        self._tick()

    @override
    def is_waiting_for_peer(self) -> bool:
        return self.replies.owed > 0

    def _tick(self) -> None:
        if self.record.outcome is not None:
            return
        if self._due_ns >= self._end_ns:
            self.finish()
            return
        self.step(self._due_ns)
        self._due_ns = min(self._due_ns + self._step_ns, self._end_ns)
        self._timers.at(self._due_ns, self._tick)

    @override
    def record_message(self, due_ns: int, sent_ns: int) -> None:
        if not self._has_sent:
            due_ns += self.record.due_ns - self._began_ns  # as if the greeting had taken no time
            self._has_sent = True
        super().record_message(due_ns, sent_ns)


class SlowWriter(SlowClient[SlowWriterGroup]):
    """A client that sends its messages a few bytes at a time; at the end it waits for the missing replies."""

    _data_left = b""  # of the message in progress
    _reply_left = b""
    _is_done = False

    @override
    def step(self, due_ns: int) -> None:
        if self.is_write_blocked:
            return
        if not self._data_left:
            self._data_left, self._reply_left = self.take_message()
        piece, self._data_left = self._data_left[: self._step_bytes], self._data_left[self._step_bytes :]
        reply = self._take_reply()
        sent_ns = self.send(piece, reply)
        if reply and not self._reply_left:
            self.record_message(due_ns, sent_ns)
        if self.replies.owed:
            self.wait_for_peer(sent_ns)

    @override
    def finish(self) -> None:
        self._is_done = True
        self._close_if_done()

    @override
    def on_progress(self, at_ns: int, reply: bytes) -> None:
        self._close_if_done()

    def _take_reply(self) -> bytes:
        """Return the part of the reply that answers the last piece.

        A message is `^`, its payload and `$`, so each unsent byte except `$` has one reply byte.
        """
        later = max(0, len(self._data_left) - 1)
        cut = len(self._reply_left) - min(later, len(self._reply_left))
        reply, self._reply_left = self._reply_left[:cut], self._reply_left[cut:]
        return reply

    def _close_if_done(self) -> None:
        if self._is_done and not self.replies.owed:
            self.end(ClientOutcome.COMPLETED)


class SlowReader(SlowClient[SlowReaderGroup]):
    """A client that requests as much as the connection takes and reads slowly; at the end it resets the connection."""

    @override
    def socket_options(self) -> Sequence[tuple[int, int, int]]:
        # Set before connect(2): set later, it would not reduce the receive window.
        return [(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)]

    @override
    def on_greeted(self, at_ns: int) -> None:
        self.pause_reading()
        super().on_greeted(at_ns)

    @override
    def on_progress(self, at_ns: int, reply: bytes) -> None:
        pass  # the next step is due at its own time

    @override
    def is_waiting_for_peer(self) -> bool:
        return False  # `step` checks the timeout: between two reads the replies wait for the client

    @override
    def step(self, due_ns: int) -> None:
        while not self.is_write_blocked and self.replies.owed < MAX_OWED_BYTES:
            sent_ns = self.send(*self.take_message())
            self.record_message(due_ns, sent_ns)
            self._progress_ns = sent_ns
        received = self.record.bytes_received
        self.read(self._step_bytes)
        is_silent = self.record.bytes_received == received
        if is_silent and now_ns() >= self._progress_ns + self._timeouts.timeout_ns:
            self.end(ClientOutcome.TIMED_OUT, f"no progress for {self._timeout_s:g} s {self.describe_state()}")

    @override
    def finish(self) -> None:
        self.reset_at_close()  # replies that were not read are discarded
        self.end(ClientOutcome.COMPLETED)
