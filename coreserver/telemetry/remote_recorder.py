"""The records of a server in another process, filled from the frames that it sends."""

from __future__ import annotations

from coreserver.clock import now_ns
from coreserver.records.server import ConnectionRecord, Event, ServerOutcome
from coreserver.telemetry.frames import Accepted, Finished, Frame, Lost, Started, WireError
from coreserver.telemetry.recorder import Recorder


class RemoteRecorder(Recorder):
    """A recorder filled from frames, with the stamps of the other process.

    Each frame is applied under the lock, so accepted == active + the sum of outcomes at every instant. Only one thread
    may call `apply` and `end_all`.
    """

    def apply(self, frame: Frame) -> None:
        """Apply one frame; a frame that is not about a connection or an event is ignored.

        Raises:
            WireError: the connection of the frame is not open.
        """
        try:
            with self._lock:
                self._apply(frame)
        except KeyError as error:
            raise WireError(f"connection {error} is not open") from error

    def _apply(self, frame: Frame) -> None:
        if isinstance(frame, Accepted):
            self._add(ConnectionRecord(frame.number, frame.peer, frame.at_ns))
        elif isinstance(frame, Started):
            self._begin(self._open[frame.number], frame.worker, frame.at_ns)
        elif isinstance(frame, Finished):
            record = self._open[frame.number]
            record.bytes_in, record.bytes_out, record.messages = frame.bytes_in, frame.bytes_out, frame.messages
            self._end(record, frame.outcome, frame.at_ns)
        elif isinstance(frame, Lost):
            self._lose(frame.outcome, frame.connections)
        elif isinstance(frame, Event):
            self._note(frame)

    def _lose(self, outcome: ServerOutcome, count: int) -> None:
        """Count connections without a record, also in every subscription."""
        self._accepted += count
        self._waiting_ended += count
        self._outcomes[outcome] += count
        for subscription in self._subscriptions:
            subscription.lost += count

    def end_all(self, outcome: ServerOutcome) -> None:
        """End every open connection, because the other process has ended."""
        with self._lock:
            for record in list(self._open.values()):
                self._end(record, outcome, now_ns())
