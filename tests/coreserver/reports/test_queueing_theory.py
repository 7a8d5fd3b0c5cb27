"""Queueing theory: known answers, and the conditions for a comparison with a run."""

from __future__ import annotations

import random
from dataclasses import replace
from math import factorial
from typing import Any

import numpy as np
import pytest

from coreserver.records.joined import JoinedConnection
from coreserver.records.server import UNKNOWN_DESIGN, DesignFacts, Discipline
from coreserver.reports.queueing_theory import (
    Passage,
    compare,
    erlang_c,
    erlang_c_mean_wait_s,
    fcfs_waits,
    passages,
    theory,
)
from tests.support.made_records import at, client, served, server


@pytest.mark.parametrize(
    ("arrivals", "services", "servers", "waits"),
    [
        ([], [], 1, []),
        ([0, 1, 2], [2, 2, 2], 1, [0, 1, 2]),
        ([0, 10, 20], [2, 2, 2], 1, [0, 0, 0]),
        ([0, 0, 0], [3, 1, 1], 2, [0, 0, 1]),  # the third arrival gets the server that is free first
        ([0, 1, 2, 3], [10, 1, 5, 1], 2, [0, 0, 0, 4]),
        ([0, 0, 0], [1, 1, 1], 3, [0, 0, 0]),
        ([5, 5], [1, 1], 1, [0, 1]),
    ],
)
def test_the_recursion_by_hand(arrivals: list[float], services: list[float], servers: int, waits: list[float]) -> None:
    assert fcfs_waits(np.array(arrivals, float), np.array(services, float), servers).tolist() == waits


def test_one_server_follows_lindley() -> None:
    rng = random.Random(4)
    arrivals = np.cumsum([rng.expovariate(1.0) for _ in range(500)])
    services = np.array([rng.expovariate(1.2) for _ in range(500)])
    wait, expected = 0.0, [0.0]
    for gap, service in zip(np.diff(arrivals), services[:-1], strict=True):
        wait = max(0.0, wait + service - gap)
        expected.append(wait)
    assert fcfs_waits(arrivals, services, 1) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("offered", "servers", "probability"),
    [
        (0.5, 1, 0.5),  # M/M/1: the utilisation
        (0.85, 1, 0.85),
        (1.0, 2, 1 / 3),
        (2.0, 3, 4 / 9),
        (0.0, 4, 0.0),
        (8.0, 10, 0.4092),  # tables of Erlang C
    ],
)
def test_erlang_c(offered: float, servers: int, probability: float) -> None:
    assert erlang_c(offered, servers) == pytest.approx(probability, abs=5e-5)


@pytest.mark.parametrize("servers", [1, 2, 3, 5, 8, 20])
@pytest.mark.parametrize("utilisation", [0.1, 0.5, 0.9, 0.99])
def test_erlang_c_is_its_textbook_sum(servers: int, utilisation: float) -> None:
    a = servers * utilisation
    tail = a**servers / factorial(servers) / (1 - utilisation)
    assert erlang_c(a, servers) == pytest.approx(tail / (sum(a**k / factorial(k) for k in range(servers)) + tail))


def test_erlang_c_of_many_servers_is_finite() -> None:
    assert 0 < erlang_c(9_900.0, 10_000) < 1


@pytest.mark.parametrize(
    ("rate", "service", "servers", "wait"),
    [
        (25.0, 0.02, 1, 0.02),  # M/M/1 at 0.5: rho / (mu - lambda)
        (42.5, 0.02, 1, 0.85 / 7.5),
        (50.0, 0.02, 2, 1 / 150),  # M/M/2 at 0.5: 1/3 of 20 ms
        (50.0, 0.02, 1, None),
        (51.0, 0.02, 1, None),
        (0.0, 0.02, 1, 0.0),
    ],
)
def test_the_mean_wait_of_erlang_c(rate: float, service: float, servers: int, wait: float | None) -> None:
    found = erlang_c_mean_wait_s(rate, service, servers)
    assert found == (None if wait is None else pytest.approx(wait))


def random_passages(rate: float, service: float, servers: int, count: int, seed: int) -> list[Passage]:
    rng = random.Random(seed)
    arrivals = np.cumsum([rng.expovariate(rate) for _ in range(count)])
    services = np.array([rng.expovariate(1 / service) for _ in range(count)])
    waits = fcfs_waits(arrivals, services, servers)
    return [Passage(*one) for one in zip(arrivals.tolist(), waits.tolist(), services.tolist(), strict=True)]


@pytest.mark.parametrize(("servers", "utilisation"), [(1, 0.5), (2, 0.7), (4, 0.85)])
def test_predictions_match_a_simulated_queue(servers: int, utilisation: float) -> None:
    through = random_passages(servers * utilisation / 0.02, 0.02, servers, 20_000, seed=servers)
    found: Any = compare(through, servers, from_s=0.0, is_markovian=True)
    assert found.utilisation == pytest.approx(utilisation, rel=0.03)
    assert found.recursion_wait_ms == pytest.approx(found.wait_ms)
    assert found.wait_low_ms <= found.erlang_c_wait_ms <= found.wait_high_ms


def test_warm_up_arrivals_only_load_the_queue() -> None:
    found = compare([Passage(0, 0, 5), Passage(1, 4, 1), Passage(2, 4, 1)], 1, from_s=1.0, is_markovian=True)
    assert (found.arrivals, found.wait_ms, found.recursion_wait_ms) == (2, 4000, 4000)
    assert found.arrival_rate_per_s == 1.0
    assert (found.wait_low_ms, found.erlang_c_wait_ms) == (None, None)  # too few; as many as can be served


def test_interval_starts_at_zero_or_above() -> None:
    through = [Passage(float(k), 100.0 if k < 20 else 0.0, 0.1) for k in range(400)]
    found: Any = compare(through, 1, from_s=0.0, is_markovian=True)
    assert found.wait_low_ms == 0.0 < found.wait_ms < found.wait_high_ms


@pytest.mark.parametrize("count", [0, 1])
def test_one_arrival_has_no_figures(count: int) -> None:
    found = compare([Passage(0, 0, 1)] * count, 1, from_s=0.0, is_markovian=True)
    assert found.wait_ms is None


def test_arrival_is_the_end_of_connect() -> None:
    late = served("late", due=5, accepted=7, started=9, closed=20)
    early = served("early", accepted=2, started=3, closed=9)
    found = passages([late, early])
    assert found is not None
    assert found[0] == pytest.approx((at(1) / 1e9, 0.002, 0.007))
    assert found[1] == pytest.approx((at(6) / 1e9, 0.003, 0.012))


def test_missing_record_prevents_comparison() -> None:
    whole = served("whole", accepted=2, started=3, closed=9)
    assert passages([whole, JoinedConnection(client("bare", connected=1), None)]) is None


OPEN = {"kind": "open", "arrivals": "poisson", "stages": None, "messages_per_connection": 1}
WORK = {"kind": "sleep", "mean_ms": 20.0, "distribution": "exponential", "per": "connection"}
NEWEST_FIRST = Discipline.LAST_COME_FIRST_SERVED
POOL = DesignFacts(Discipline.FIRST_COME_FIRST_SERVED, ("worker-1", "worker-2"))


@pytest.mark.parametrize(
    ("groups", "work", "design", "shown", "erlang"),
    [
        pytest.param([OPEN], WORK, POOL, True, True, id="poisson"),
        pytest.param([OPEN], WORK | {"distribution": "fixed"}, POOL, True, False, id="fixed work"),
        pytest.param([OPEN | {"stages": [{"rate_per_s": 5.0}]}], WORK, POOL, True, False, id="stages"),
        pytest.param([OPEN | {"messages_per_connection": 3}], WORK, POOL, True, False, id="three messages"),
        pytest.param([OPEN | {"arrivals": "constant"}], WORK, POOL, False, False, id="constant arrivals"),
        pytest.param([OPEN, OPEN], WORK, POOL, False, False, id="two groups"),
        pytest.param([{"kind": "script"}], WORK, POOL, False, False, id="script"),
        pytest.param([OPEN], WORK | {"per": "message"}, POOL, False, False, id="work per message"),
        pytest.param([OPEN], {"kind": "none"}, POOL, False, False, id="no work"),
        pytest.param([OPEN], WORK, replace(POOL, discipline=None), False, False, id="several queues"),
        pytest.param([OPEN], WORK, replace(POOL, discipline=NEWEST_FIRST), False, False, id="newest first"),
        pytest.param([OPEN], WORK, replace(POOL, worker_names=()), False, False, id="thread per connection"),
        pytest.param([OPEN], WORK, replace(POOL, worker_names=("worker-2",)), False, False, id="grown pool"),
        pytest.param([OPEN], WORK, UNKNOWN_DESIGN, False, False, id="external server"),
    ],
)
def test_theory_depends_on_stored_facts(groups: Any, work: Any, design: DesignFacts, shown: bool, erlang: bool) -> None:
    found = theory(four_connections(), groups, work, design, from_ns=at(0))
    assert (found is not None) is shown
    assert (found is not None and found.erlang_c_wait_ms is not None) is erlang


def test_refused_connection_rules_theory_out() -> None:
    refused = JoinedConnection(client("refused", connected=1), server(2, None, 3))
    assert theory([*four_connections(), refused], [OPEN], WORK, POOL, from_ns=at(0)) is None


def four_connections() -> list[JoinedConnection]:
    return [served(f"c{k}", due=50 * k, accepted=50 * k + 2, started=50 * k + 3, closed=50 * k + 9) for k in range(4)]
