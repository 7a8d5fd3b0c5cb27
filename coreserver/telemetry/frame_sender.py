"""The telemetry that a server's own process sends: frames gathered by the serving threads, written by one thread.

    serving threads:  a frame appended to a queue, nothing else
    telemetry:        every FLUSH_S, and for a sample: packs and writes what has gathered

No frame wakes the telemetry thread: it would take the interpreter just when a connection is being handed over.
A reader that stalls blocks the telemetry thread alone. Then the queue grows to MAX_QUEUED, and from there on whole
connections go unreported: counted by outcome, and told once the pipe moves again. Of a connection that was reported as
accepted every later frame is sent, so the other side never waits for an end that does not come.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from coreserver.records.samples import Sample
from coreserver.records.server import ConnectionRecord, Event, ServerOutcome
from coreserver.telemetry.frames import Accepted, Ended, Finished, Frame, Lost, Started, encode
from coreserver.telemetry.recorder import Recorder
from coreserver.telemetry.sampler import gap_s

FLUSH_S = 0.02
MAX_QUEUED = 200_000  # about 40 MB
BATCH = 500  # frames in one write


class Outbox:
    """Frames on their way to a pipe. `offer`, `put` and `lose` are for any thread, and never wait for the pipe."""

    def __init__(self, fd: int, limit: int = MAX_QUEUED) -> None:
        self._fd = fd
        self._limit = limit
        self._queue: deque[Frame] = deque()
        self._lost: Counter[ServerOutcome] = Counter()
        self._lock = threading.Lock()  # guards _lost; the queue's own operations are atomic
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, sample: Callable[[], Sample]) -> None:
        """Begin to send, and to take a sample every `gap_s`; the first one goes out before what is put later."""
        self.put(sample())
        self._thread = threading.Thread(target=self._run, args=(sample,), name="telemetry", daemon=True)
        self._thread.start()

    def offer(self, frame: Frame) -> bool:
        """Take the frame unless too many wait already; whether it was taken."""
        if len(self._queue) >= self._limit:
            return False
        self.put(frame)
        return True

    def put(self, frame: Frame, *, at_once: bool = False) -> None:
        """Take the frame, however many wait; `at_once`: somebody waits for it."""
        self._queue.append(frame)
        if at_once or len(self._queue) == BATCH:
            self._wake.set()

    def lose(self, outcome: ServerOutcome) -> None:
        """A connection that was not offered in time has ended."""
        with self._lock:
            self._lost[outcome] += 1

    def close(self) -> None:
        """Send all that is left and the end mark; returns when the pipe has taken it."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._flush()
        self._write([Ended()])

    # --- the telemetry thread ------------------------------------------------------------------------------------

    def _run(self, sample: Callable[[], Sample]) -> None:
        next_sample = time.monotonic() + gap_s()
        while not self._closing.is_set():
            self._wake.wait(max(0.0, min(FLUSH_S, next_sample - time.monotonic())))
            self._wake.clear()
            if time.monotonic() >= next_sample:
                next_sample = time.monotonic() + gap_s()
                self._queue.append(sample())
            self._flush()

    def _flush(self) -> None:
        while self._queue:
            self._write([self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))])
        with self._lock:
            lost, self._lost = self._lost, Counter()
        self._write([Lost(outcome, count) for outcome, count in lost.items()])

    def _write(self, frames: list[Frame]) -> None:
        data = memoryview(b"".join(map(encode, frames)))
        while data:
            data = data[os.write(self._fd, data) :]


class ReportingRecorder(Recorder):
    """A recorder whose connections and events also go to an outbox."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox
        self._unreported: set[int] = set()  # numbers of open connections that the outbox had no room for

    # --- under the recorder's lock -------------------------------------------------------------------------------

    def _add(self, record: ConnectionRecord) -> ConnectionRecord:
        if not self._outbox.offer(Accepted(record.number, record.accepted_ns, record.peer)):
            self._unreported.add(record.number)
        return super()._add(record)

    def _begin(self, record: ConnectionRecord, worker: str, at_ns: int) -> None:
        super()._begin(record, worker, at_ns)
        if record.number not in self._unreported:
            self._outbox.put(Started(record.number, at_ns, worker))

    def _end(self, record: ConnectionRecord, outcome: ServerOutcome, at_ns: int) -> None:
        super()._end(record, outcome, at_ns)
        if record.number in self._unreported:
            self._unreported.discard(record.number)
            self._outbox.lose(outcome)
        else:
            counts = record.bytes_in, record.bytes_out, record.messages
            self._outbox.put(Finished(record.number, at_ns, outcome, *counts))

    def _note(self, event: Event) -> None:
        super()._note(event)
        self._outbox.offer(event)
