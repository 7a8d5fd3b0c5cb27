"""Service times: their distributions, their seed, and the CPU time that work really uses."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from pydantic import TypeAdapter

from coreserver.config.server import Work
from coreserver.models.shared.service_time import Demand, burn, demands
from tests.support.servers import Peer, running


def work(**fields: Any) -> Work:
    return TypeAdapter[Work](Work).validate_python(fields)


def draw(count: int, connection: int = 1, seed: int = 7, **fields: Any) -> list[Demand]:
    return list(islice(demands(work(**fields), seed, connection), count))


def test_no_work_has_no_demands() -> None:
    assert draw(5, kind="none") == []


def test_fixed_work_is_always_its_mean() -> None:
    assert draw(3, kind="sleep", mean_ms=20) == [Demand(0.0, 0.020)] * 3
    assert draw(1, kind="cpu", mean_ms=2) == [Demand(0.002, 0.0)]
    assert draw(1, kind="mixed", cpu_ms=1, sleep_ms=10) == [Demand(0.001, 0.010)]


@pytest.mark.parametrize(("distribution", "deviation_to_mean"), [("exponential", 1.0), ("uniform", 3**-0.5)])
def test_random_work_has_its_mean_and_spread(distribution: str, deviation_to_mean: float) -> None:
    values = [demand.sleep_s for demand in draw(20_000, kind="sleep", mean_ms=10, distribution=distribution)]
    assert statistics.fmean(values) == pytest.approx(0.010, rel=0.03)
    assert statistics.pstdev(values) == pytest.approx(0.010 * deviation_to_mean, rel=0.03)
    if distribution == "uniform":
        assert 0.0 <= min(values) <= max(values) <= 0.020


def test_mixed_work_scales_both_parts_alike() -> None:
    for demand in draw(50, kind="mixed", cpu_ms=1, sleep_ms=10, distribution="exponential"):
        assert demand.sleep_s == pytest.approx(10 * demand.cpu_s)


def test_seed_and_connection_fix_the_work() -> None:
    fields: dict[str, Any] = {"kind": "sleep", "distribution": "exponential"}
    assert draw(10, **fields) == draw(10, **fields)
    assert draw(10, **fields) != draw(10, connection=2, **fields)
    assert draw(10, **fields) != draw(10, seed=8, **fields)


def minimum(measure: Callable[[], float]) -> float:
    """Return the minimum of four measurements of CPU time, because disturbances only add to it."""
    return min(measure() for _ in range(4))


def measure_burn(cpu_s: float) -> float:
    """Return the CPU time that `burn(cpu_s)` used in this thread."""
    began = time.thread_time()
    burn(cpu_s, lambda: False)
    return time.thread_time() - began


@pytest.mark.parametrize("cpu_s", [0.001, 0.01, 0.05])
def test_burn_uses_its_cpu_time(cpu_s: float) -> None:
    ended = threading.Event()
    rival = threading.Thread(target=burn, args=(60.0, ended.is_set))
    rival.start()
    try:
        assert cpu_s <= minimum(lambda: measure_burn(cpu_s)) < cpu_s * 1.2
    finally:
        ended.set()
        rival.join()


def test_burn_ends_early() -> None:
    began = time.thread_time()
    burn(60.0, lambda: True)
    assert time.thread_time() - began < 1.0


def cost_of_five(peer: Peer) -> float:
    """Return the CPU time of this process while its server answers five messages."""
    began = time.process_time()
    assert peer.ask(b"^a$^b$^c$^d$^e$") == b"bcdef"
    return time.process_time() - began


@pytest.mark.parametrize("model", ["thread_per_client", "bounded_pool", "event_loop", "asyncio"])
def test_server_uses_the_cpu_of_its_work(model: str) -> None:
    with running(model, work={"kind": "cpu", "mean_ms": 20}) as server, Peer(server) as peer:
        peer.wait_greeted()
        assert 0.095 < minimum(lambda: cost_of_five(peer)) < 0.130
