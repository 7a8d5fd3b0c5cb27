"""Samples of a running server, about every 100 ms on the lab's clock.

The interval varies at random. With equal intervals, a server with arrivals at a constant rate would always be sampled
in the same phase, for example always busy or always idle.

CPU time, memory and context switches come from getrusage(2) and /proc/self, so they belong to the whole serving
process. With `thread` placement that includes the control plane; reports mark these figures with `scope: process`.
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

    `threads_*` count the server's own threads; None if the design has no such figure. `accept_queue` is the length of
    the backlog; None once the listener is closed.
    """

    totals: Totals
    threads_alive: int | None
    threads_busy: int | None
    queue_depth: int | None
    accept_queue: int | None


class Sampled(Protocol):
    """A server that can be sampled."""

    def snapshot(self) -> ServerFigures:
        """Return the current figures. Any thread may call it."""


class Sampler:
    """Thread that samples one server about every INTERVAL_S and keeps the last MAX_SAMPLES samples.

    Any thread may call any method; only `stop` blocks, for at most the sample in progress. The owner of the server
    calls `start` after the server has started and `stop` after it has ended. There is no lock: the thread appends to a
    deque, and `since` reads a copy.
    """

    def __init__(self, server: Sampled) -> None:
        self._server = server
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self) -> None:
        """Start the thread. May be called once."""
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
