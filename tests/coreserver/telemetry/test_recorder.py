"""Records on their way from one process to another: the outbox, the recorder that fills it, and the mirror."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from coreserver.records.samples import Sample
from coreserver.records.server import ServerOutcome
from coreserver.telemetry.frame_sender import Outbox, ReportingRecorder
from coreserver.telemetry.frames import Accepted, Decoder, Ended, Finished, Lost, Started, WireError
from coreserver.telemetry.recorder import Totals
from coreserver.telemetry.remote_recorder import Mirror

PEER = ("127.0.0.1", 5000)
NO_SAMPLE = Sample(0, 0, 0, None, None, None, None, 0.0, 0, 0, 0, 0, None)


@contextmanager
def outbox_to_mirror(limit: int = 1000) -> Iterator[tuple[Outbox, Mirror, threading.Event]]:
    """An outbox whose pipe feeds a mirror once the event is set; at the end everything has arrived."""
    reading, writing = os.pipe()
    may_read = threading.Event()
    mirror = Mirror()

    def read() -> None:
        may_read.wait()
        decoder = Decoder()
        while data := os.read(reading, 65536):
            for frame in decoder.feed(data):
                mirror.apply(frame)

    reader = threading.Thread(target=read)
    reader.start()
    outbox = Outbox(writing, limit)
    outbox.start(lambda: NO_SAMPLE)
    try:
        yield outbox, mirror, may_read
    finally:
        may_read.set()
        outbox.close()
        os.close(writing)
        reader.join()
        os.close(reading)


def assert_conserved(totals: Totals) -> None:
    assert totals.accepted == totals.active + sum(totals.outcomes.values())
    assert totals.waiting >= 0
    assert totals.in_service >= 0


def test_the_mirror_equals_the_recorder_with_its_stamps() -> None:
    with outbox_to_mirror() as (outbox, mirror, may_read):
        may_read.set()
        recorder = ReportingRecorder(outbox)
        served, refused, still_open = (recorder.accepted((PEER[0], port)) for port in (5001, 5002, 5003))
        recorder.started(served, "worker-1")
        served.bytes_in, served.bytes_out, served.messages = 5, 4, 1
        recorder.finished(served, ServerOutcome.COMPLETED)
        recorder.finished(refused, ServerOutcome.REFUSED)
        recorder.started(still_open, "worker-2")
        recorder.event("grew", "a second worker")
    assert mirror.totals() == recorder.totals()
    assert mirror.recent() == recorder.recent() == [served, refused]
    assert mirror.open_connections() == recorder.open_connections() == [still_open]
    assert mirror.events() == recorder.events()


def test_a_reader_that_stalls_costs_whole_records_and_stops_nobody() -> None:
    connections = 20_000
    with outbox_to_mirror(limit=1000) as (outbox, mirror, may_read):
        subscription = mirror.subscribe()
        recorder = ReportingRecorder(outbox)
        for _ in range(connections):  # far more than the pipe and the outbox hold, while nobody reads
            record = recorder.accepted(PEER)
            recorder.started(record, "worker-1")
            recorder.finished(record, ServerOutcome.COMPLETED)
        may_read.set()
    arrived = subscription.take()
    assert len(arrived) + subscription.lost == connections
    assert subscription.lost > 0
    assert all(record.finished_ns and record.worker == "worker-1" for record in arrived)
    assert mirror.totals() == recorder.totals()


def test_a_connection_that_was_reported_is_reported_to_its_end() -> None:
    with outbox_to_mirror(limit=100) as (outbox, mirror, may_read):
        recorder = ReportingRecorder(outbox)
        first = recorder.accepted(PEER)
        for _ in range(10_000):
            recorder.finished(recorder.accepted(PEER), ServerOutcome.RESET)
        recorder.started(first, "worker-1")
        recorder.finished(first, ServerOutcome.COMPLETED)
        may_read.set()
    assert first in mirror.recent()
    assert mirror.totals().active == 0


def test_conservation_holds_after_every_single_frame() -> None:
    mirror = Mirror()
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
        mirror.apply(frame)
        assert_conserved(mirror.totals())
    assert mirror.totals().accepted == 6
    mirror.end_all(ServerOutcome.ERROR)
    assert mirror.totals().active == 0
    assert mirror.totals().outcomes["error"] == 1
    assert_conserved(mirror.totals())


def test_a_frame_about_an_unknown_connection_is_nonsense() -> None:
    with pytest.raises(WireError, match="7"):
        Mirror().apply(Started(7, 1, "w"))
