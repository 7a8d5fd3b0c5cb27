"""What a message or a connection costs beside echoing: its laws, its seed, and the CPU time it really takes."""

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


def drawn(count: int, connection: int = 1, seed: int = 7, **fields: Any) -> list[Demand]:
    return list(islice(demands(work(**fields), seed, connection), count))


def test_no_work_asks_for_nothing() -> None:
    assert drawn(5, kind="none") == []


def test_fixed_work_is_always_its_mean() -> None:
    assert drawn(3, kind="sleep", mean_ms=20) == [Demand(0.0, 0.020)] * 3
    assert drawn(1, kind="cpu", mean_ms=2) == [Demand(0.002, 0.0)]
    assert drawn(1, kind="mixed", cpu_ms=1, sleep_ms=10) == [Demand(0.001, 0.010)]


@pytest.mark.parametrize(("distribution", "deviation_to_mean"), [("exponential", 1.0), ("uniform", 3**-0.5)])
def test_drawn_work_has_its_mean_and_its_spread(distribution: str, deviation_to_mean: float) -> None:
    values = [demand.sleep_s for demand in drawn(20_000, kind="sleep", mean_ms=10, distribution=distribution)]
    assert statistics.fmean(values) == pytest.approx(0.010, rel=0.03)
    assert statistics.pstdev(values) == pytest.approx(0.010 * deviation_to_mean, rel=0.03)
    if distribution == "uniform":
        assert 0.0 <= min(values) <= max(values) <= 0.020


def test_mixed_work_scales_both_parts_by_one_draw() -> None:
    for demand in drawn(50, kind="mixed", cpu_ms=1, sleep_ms=10, distribution="exponential"):
        assert demand.sleep_s == pytest.approx(10 * demand.cpu_s)


def test_the_same_seed_and_connection_cost_the_same_and_others_do_not() -> None:
    fields: dict[str, Any] = {"kind": "sleep", "distribution": "exponential"}
    assert drawn(10, **fields) == drawn(10, **fields)
    assert drawn(10, **fields) != drawn(10, connection=2, **fields)
    assert drawn(10, **fields) != drawn(10, seed=8, **fields)


def least(measure: Callable[[], float]) -> float:
    """The least of a few measurements of CPU time: what disturbs one, as a host that lends its cores out, adds."""
    return min(measure() for _ in range(4))


def burned(cpu_s: float) -> float:
    """The CPU time that burning `cpu_s` took this thread."""
    began = time.thread_time()
    burn(cpu_s, lambda: False)
    return time.thread_time() - began


@pytest.mark.parametrize("cpu_s", [0.001, 0.01, 0.05])
def test_burning_takes_its_cpu_time_within_a_tenth_whoever_competes(cpu_s: float) -> None:
    ended = threading.Event()
    rival = threading.Thread(target=burn, args=(60.0, ended.is_set))
    rival.start()
    try:
        assert least(lambda: burned(cpu_s)) == pytest.approx(cpu_s, rel=0.1)
    finally:
        ended.set()
        rival.join()


def test_burning_ends_when_told() -> None:
    began = time.thread_time()
    burn(60.0, lambda: True)
    assert time.thread_time() - began < 1.0


def cost_of_five(peer: Peer) -> float:
    """The CPU time of this process while its server answers five messages."""
    began = time.process_time()
    assert peer.ask(b"^a$^b$^c$^d$^e$") == b"bcdef"
    return time.process_time() - began


@pytest.mark.parametrize("model", ["thread_per_client", "bounded_pool", "event_loop", "asyncio"])
def test_a_server_burns_what_its_messages_cost(model: str) -> None:
    with running(model, work={"kind": "cpu", "mean_ms": 20}) as server, Peer(server) as peer:
        peer.greeted()
        assert least(lambda: cost_of_five(peer)) == pytest.approx(0.100, rel=0.1)
