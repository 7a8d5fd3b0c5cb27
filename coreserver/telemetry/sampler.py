"""Samples of a running server, about every 100 ms on the lab's clock.

Every sample is a little early or late at random: at equal distances, arrivals at a constant rate would always be seen
in the same phase, for example always busy or always idle.

CPU time, memory, threads and context switches come from getrusage(2) and /proc/self, so they are of the whole process
that serves. With `thread` placement that includes the control plane, and reports mark them `scope: process`.
"""

from __future__ import annotations

import os
import random
import resource
import threading
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from coreserver.clock import now_ns
from coreserver.records.samples import Sample
from coreserver.telemetry.machine import listen_overflows
from coreserver.telemetry.recorder import Totals

INTERVAL_S = 0.1
_JITTER = 0.2  # share of the interval: after four samples the phase of a rate of ten per second is lost
MAX_SAMPLES = 6700  # eleven minutes: the longest run, and one minute after its end

_PAGE_BYTES = resource.getpagesize()
_STATM = os.open(
    "/proc/self/statm", os.O_RDONLY
)  # kept open, so that a process at its descriptor limit can still be sampled


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """Figures of a server at one instant.

    `threads_*` count the server's own threads; None if the design has no such notion. `accept_queue` is the length of
    the backlog; None once the listener is closed.
    """

    totals: Totals
    threads_alive: int | None
    threads_busy: int | None
    queue_depth: int | None
    accept_queue: int | None


class Sampled(Protocol):
    """A server to take samples of."""

    def snapshot(self) -> ServerFigures:
        """Return the figures of this instant. Any thread may call it."""


class Sampler:
    """Takes samples of one server in its own thread and keeps the last MAX_SAMPLES."""

    def __init__(self, server: Sampled) -> None:
        self._server = server
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """Start the thread. Call it once."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it. May be called twice, and before `start`."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def since(self, at_ns: int) -> list[Sample]:
        """Return the samples taken at or after `at_ns`, oldest first."""
        return [sample for sample in list(self._samples) if sample.at_ns >= at_ns]

    def _run(self) -> None:
        while True:
            self._samples.append(take_sample(self._server))
            if self._stopping.wait(next_gap_s()):
                return


def next_gap_s() -> float:
    """Return the time until the next sample: INTERVAL_S on average."""
    return INTERVAL_S * random.uniform(1 - _JITTER, 1 + _JITTER)


def take_sample(server: Sampled) -> Sample:
    """Take one sample of `server` and this process now."""
    at_ns = now_ns()
    snapshot = server.snapshot()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    vms_pages, rss_pages = os.pread(_STATM, 128, 0).split()[:2]
    return Sample(
        at_ns=at_ns,
        waiting=snapshot.totals.waiting,
        in_service=snapshot.totals.in_service,
        threads_alive=snapshot.threads_alive,
        threads_busy=snapshot.threads_busy,
        queue_depth=snapshot.queue_depth,
        accept_queue=snapshot.accept_queue,
        cpu_s=usage.ru_utime + usage.ru_stime,
        rss_bytes=int(rss_pages) * _PAGE_BYTES,
        vms_bytes=int(vms_pages) * _PAGE_BYTES,
        voluntary_switches=usage.ru_nvcsw,
        involuntary_switches=usage.ru_nivcsw,
        listen_overflows=listen_overflows(),
    )
