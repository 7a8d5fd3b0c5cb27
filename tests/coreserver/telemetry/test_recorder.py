"""Records sent from one process to another: frame sender, reporting recorder and remote recorder."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from coreserver.records.samples import Sample
from coreserver.records.server import ServerOutcome
from coreserver.telemetry.frame_sender import FrameSender, ReportingRecorder
from coreserver.telemetry.frames import Accepted, Decoder, Ended, Finished, Lost, Started, WireError
from coreserver.telemetry.recorder import Totals
from coreserver.telemetry.remote_recorder import RemoteRecorder

PEER = ("127.0.0.1", 5000)
NO_SAMPLE = Sample(0, 0, 0, None, None, None, None, 0.0, 0, 0, 0, 0, None)


@contextmanager
def outbox_to_mirror(limit: int = 1000) -> Iterator[tuple[FrameSender, RemoteRecorder, threading.Event]]:
    """Yield a sender whose pipe feeds a remote recorder once the event is set; at the end all frames have arrived."""
    reading, writing = os.pipe()
    may_read = threading.Event()
    remote = RemoteRecorder()

    def read() -> None:
        may_read.wait()
        decoder = Decoder()
        while data := os.read(reading, 65536):
            for frame in decoder.feed(data):
                remote.apply(frame)

    reader = threading.Thread(target=read)
    reader.start()
    sender = FrameSender(writing, limit)
    sender.start(lambda: NO_SAMPLE)
    try:
        yield sender, remote, may_read
    finally:
        may_read.set()
        sender.close()
        os.close(writing)
        reader.join()
        os.close(reading)


def assert_conserved(totals: Totals) -> None:
    assert totals.accepted == totals.active + sum(totals.outcomes.values())
    assert totals.waiting >= 0
    assert totals.in_service >= 0


def test_remote_recorder_equals_the_original() -> None:
    with outbox_to_mirror() as (sender, remote, may_read):
        may_read.set()
        recorder = ReportingRecorder(sender)
        served, refused, still_open = (recorder.accepted((PEER[0], port)) for port in (5001, 5002, 5003))
        recorder.started(served, "worker-1")
        served.bytes_in, served.bytes_out, served.messages = 5, 4, 1
        recorder.finished(served, ServerOutcome.COMPLETED)
        recorder.finished(refused, ServerOutcome.REFUSED)
        recorder.started(still_open, "worker-2")
        recorder.event("grew", "a second worker")
    assert remote.totals() == recorder.totals()
    assert remote.recent() == recorder.recent() == [served, refused]
    assert remote.open_connections() == recorder.open_connections() == [still_open]
    assert remote.events() == recorder.events()


def test_stalled_reader_costs_whole_records() -> None:
    connections = 20_000
    with outbox_to_mirror(limit=1000) as (sender, remote, may_read):
        subscription = remote.subscribe()
        recorder = ReportingRecorder(sender)
        for _ in range(connections):  # far more than the pipe and the sender hold, while nothing is read
            record = recorder.accepted(PEER)
            recorder.started(record, "worker-1")
            recorder.finished(record, ServerOutcome.COMPLETED)
        may_read.set()
    arrived = subscription.take()
    assert len(arrived) + subscription.lost == connections
    assert subscription.lost > 0
    assert all(record.finished_ns and record.worker == "worker-1" for record in arrived)
    assert remote.totals() == recorder.totals()


def test_reported_connection_is_completed() -> None:
    with outbox_to_mirror(limit=100) as (sender, remote, may_read):
        recorder = ReportingRecorder(sender)
        first = recorder.accepted(PEER)
        for _ in range(10_000):
            recorder.finished(recorder.accepted(PEER), ServerOutcome.RESET)
        recorder.started(first, "worker-1")
        recorder.finished(first, ServerOutcome.COMPLETED)
        may_read.set()
    assert first in remote.recent()
    assert remote.totals().active == 0


def test_counts_add_up_after_every_frame() -> None:
    remote = RemoteRecorder()
    for frame in (
        Accepted(1, 10, PEER),
        Accepted(2, 11, PEER),
        Started(1, 12, "w"),
        Lost(ServerOutcome.RESET, 3),
        Finished(2, 13, ServerOutcome.REFUSED, 0, 0, 0),
        Finished(1, 14, ServerOutcome.COMPLETED, 3, 2, 1),
        Accepted(6, 15, PEER),
        Ended(),
    ):
        remote.apply(frame)
        assert_conserved(remote.totals())
    assert remote.totals().accepted == 6
    remote.end_all(ServerOutcome.ERROR)
    assert remote.totals().active == 0
    assert remote.totals().outcomes["error"] == 1
    assert_conserved(remote.totals())


def test_unknown_connection_is_an_error() -> None:
    with pytest.raises(WireError, match="7"):
        RemoteRecorder().apply(Started(7, 1, "w"))
