"""The records of a server that runs in another process, kept here from the frames it sends."""

from __future__ import annotations

from coreserver.clock import now_ns
from coreserver.records.server import ConnectionRecord, Event, ServerOutcome
from coreserver.telemetry.frames import Accepted, Finished, Frame, Lost, Started, WireError
from coreserver.telemetry.recorder import Recorder


class Mirror(Recorder):
    """A recorder filled by frames, which carry the other process's stamps.

    Each frame is applied whole, so that accepted = active + the sum of outcomes holds at any instant. `apply` is for
    one thread; everything else, as ever, for any.
    """

    def apply(self, frame: Frame) -> None:
        """Take in one frame; kinds that speak of no connection and no event are not for the mirror.

        Raises:
            WireError: it speaks of a connection that is not open.
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
        """Connections that came and went without a record: counted, and every reader of records is told."""
        self._accepted += count
        self._waiting_ended += count
        self._outcomes[outcome] += count
        for subscription in self._subscriptions:
            subscription.lost += count

    def end_all(self, outcome: ServerOutcome) -> None:
        """The other process is gone, and every connection it had with it."""
        with self._lock:
            for record in list(self._open.values()):
                self._end(record, outcome, now_ns())
