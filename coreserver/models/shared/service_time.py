"""Service times: seeded distributions of the work that a message or a connection costs in addition to the echo.

Each connection has its own random stream, derived from the server's seed and the connection's number. So the work of a
connection depends neither on the worker that serves it nor on the order of service, and is independent of the arrivals.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from coreserver.config.server import CpuWork, MixedWork, NoWork, SleepWork, Work

_UNIT_LAWS: dict[str, Callable[[random.Random], float]] = {  # each with mean 1
    "fixed": lambda _: 1.0,
    "exponential": lambda rng: rng.expovariate(1.0),
    "uniform": lambda rng: rng.uniform(0.0, 2.0),
}
_BURN_STEP = 200  # iterations between two reads of the clock: about 10 µs, so 1 ms of work ends within 1 %


class Demand(NamedTuple):
    """One piece of work: CPU time to burn first, then time to wait; seconds."""

    cpu_s: float
    sleep_s: float


def demands(work: Work, seed: int, connection: int) -> Iterator[Demand]:
    """Yield pieces of work for one connection without end; yield nothing for work of kind `none`."""
    if isinstance(work, NoWork):
        return
    rng = random.Random(f"service {seed} {connection}")
    draw = _UNIT_LAWS[work.distribution]
    mean = _mean(work)
    while True:
        scale = draw(rng)
        yield Demand(mean.cpu_s * scale, mean.sleep_s * scale)


def _mean(work: SleepWork | CpuWork | MixedWork) -> Demand:
    if isinstance(work, SleepWork):
        return Demand(0.0, work.mean_ms / 1000)
    if isinstance(work, CpuWork):
        return Demand(work.mean_ms / 1000, 0.0)
    return Demand(work.cpu_ms / 1000, work.sleep_ms / 1000)


def per_message(work: Work) -> bool:
    """Whether the work is done before each message's reply."""
    return not isinstance(work, NoWork) and work.per == "message"


def per_connection(work: Work) -> bool:
    """Whether the work is done once, before the connection's first reply."""
    return not isinstance(work, NoWork) and work.per == "connection"


def burn(cpu_s: float, should_end: Callable[[], bool]) -> None:
    """Use `cpu_s` seconds of this thread's CPU time (CLOCK_THREAD_CPUTIME_ID), or less if `should_end` returns True.

    Time spent waiting for the interpreter lock or for a core does not count, so the work costs the same CPU time
    regardless of competing threads, and takes longer in proportion.
    """
    end = time.thread_time() + cpu_s
    while time.thread_time() < end and not should_end():
        for _ in range(_BURN_STEP):
            pass
