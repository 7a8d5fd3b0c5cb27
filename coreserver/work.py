"""Service-time laws: what one message or connection costs beside echoing, seeded.

Each connection draws from a stream of its own, derived from the server's seed and the connection's number, so what a
connection costs does not depend on which worker is quicker, and is never correlated with the arrivals.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from coreserver.config import NoWork, SleepWork, Work

_LAWS: dict[str, Callable[[random.Random, float], float]] = {
    "fixed": lambda _, mean: mean,
    "exponential": lambda rng, mean: rng.expovariate(1 / mean),
    "uniform": lambda rng, mean: rng.uniform(0, 2 * mean),
}


def sleeps_s(work: SleepWork, seed: int, connection: int) -> Iterator[float]:
    """Endless service times of one connection, seconds: mean `work.mean_ms` under its distribution."""
    rng = random.Random(f"service {seed} {connection}")
    law = _LAWS[work.distribution]
    mean_s = work.mean_ms / 1000
    while True:
        yield law(rng, mean_s)


def per_message(work: Work) -> bool:
    """Whether the work is done before each message's reply."""
    return not isinstance(work, NoWork) and work.per == "message"


def per_connection(work: Work) -> bool:
    """Whether the work is done once, before the connection's first reply."""
    return not isinstance(work, NoWork) and work.per == "connection"
