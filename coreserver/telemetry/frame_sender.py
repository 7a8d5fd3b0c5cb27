"""Send the telemetry of a server process: serving threads queue frames, one thread writes them.

    serving threads:  append a frame to the queue, nothing else
    telemetry:        every FLUSH_S, and for each sample, encode and write what is queued

A frame does not wake the telemetry thread, which would take the interpreter lock while a connection is handed over. A
reader that stalls blocks only the telemetry thread. The queue then grows to MAX_QUEUED; further connections are not
reported but counted by outcome, and the counts are sent when the pipe is read again. If a connection was reported as
accepted, all its later frames are sent, so every reported connection also ends for the receiver.
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
from coreserver.telemetry.sampler import next_gap_s

FLUSH_S = 0.02
MAX_QUEUED = 200_000  # about 40 MB
MAX_BATCH = 500  # frames in one write


class FrameSender:
    """Sender of frames to the pipe `fd`. Any thread may call `offer`, `put` and `lose`; they never wait for it."""

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
        """Start the telemetry thread, which also takes samples; the first sample is sent before any later frame."""
        self.put(sample())
        self._thread = threading.Thread(target=self._run, args=(sample,), name="telemetry", daemon=True)
        self._thread.start()

    def offer(self, frame: Frame) -> bool:
        """Queue the frame unless the queue is full; return whether it was queued."""
        if len(self._queue) >= self._limit:
            return False
        self.put(frame)
        return True

    def put(self, frame: Frame, *, at_once: bool = False) -> None:
        """Queue the frame even if the queue is full. `at_once`: wake the telemetry thread to send it now."""
        self._queue.append(frame)
        if at_once or len(self._queue) == MAX_BATCH:
            self._wake.set()

    def lose(self, outcome: ServerOutcome) -> None:
        """Count the end of a connection that is not reported."""
        with self._lock:
            self._lost[outcome] += 1

    def close(self) -> None:
        """Send the queued frames and `Ended`; return when the pipe has taken them."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._flush()
        self._write([Ended()])

    # --- the telemetry thread ------------------------------------------------------------------------------------

    def _run(self, sample: Callable[[], Sample]) -> None:
        next_sample = time.monotonic() + next_gap_s()
        while not self._closing.is_set():
            self._wake.wait(max(0.0, min(FLUSH_S, next_sample - time.monotonic())))
            self._wake.clear()
            if time.monotonic() >= next_sample:
                next_sample = time.monotonic() + next_gap_s()
                self._queue.append(sample())
            self._flush()

    def _flush(self) -> None:
        while self._queue:
            self._write([self._queue.popleft() for _ in range(min(MAX_BATCH, len(self._queue)))])
        with self._lock:
            lost, self._lost = self._lost, Counter()
        self._write([Lost(outcome, count) for outcome, count in lost.items()])

    def _write(self, frames: list[Frame]) -> None:
        data = memoryview(b"".join(map(encode, frames)))
        while data:
            data = data[os.write(self._fd, data) :]


class ReportingRecorder(Recorder):
    """A recorder that also sends its connections and events as frames."""

    def __init__(self, sender: FrameSender) -> None:
        super().__init__()
        self._sender = sender
        self._unreported: set[int] = set()  # open connections, by number, for which the queue had no room

    # --- under the recorder's lock -------------------------------------------------------------------------------

    def _add(self, record: ConnectionRecord) -> ConnectionRecord:
        if not self._sender.offer(Accepted(record.number, record.accepted_ns, record.peer)):
            self._unreported.add(record.number)
        return super()._add(record)

    def _begin(self, record: ConnectionRecord, worker: str, at_ns: int) -> None:
        super()._begin(record, worker, at_ns)
        if record.number not in self._unreported:
            self._sender.put(Started(record.number, at_ns, worker))

    def _end(self, record: ConnectionRecord, outcome: ServerOutcome, at_ns: int) -> None:
        super()._end(record, outcome, at_ns)
        if record.number in self._unreported:
            self._unreported.discard(record.number)
            self._sender.lose(outcome)
        else:
            counts = record.bytes_in, record.bytes_out, record.messages
            self._sender.put(Finished(record.number, at_ns, outcome, *counts))

    def _note(self, event: Event) -> None:
        super()._note(event)
        self._sender.offer(event)
