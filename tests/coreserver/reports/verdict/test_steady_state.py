"""Little's law, and drift between the halves of a run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from coreserver.records.joined import JoinedConnection
from coreserver.records.run_result import RunResult
from coreserver.reports.verdict.steady_state import check_drift, check_little_law
from tests.support.made_records import client, evidence, result, sample, server

SECONDS = 30


def connections(rate_per_s: float, mean_ms: float, seed: int) -> list[JoinedConnection]:
    """Return connections with Poisson arrivals and exponential times at the server."""
    rng, at_ms, made = random.Random(seed), 0.0, []
    while (at_ms := at_ms + rng.expovariate(rate_per_s) * 1000) < 1000 * SECONDS:
        stays = rng.expovariate(1 / mean_ms)
        made.append(
            JoinedConnection(
                client(due=at_ms, connect=at_ms, connected=at_ms), server(at_ms, at_ms + stays / 3, at_ms + stays)
            )
        )
    return made


def looked_at(made: Sequence[JoinedConnection], *, missed: float = 0.0, each_ms: float = 100.0) -> RunResult:
    """Return the run with regular samples that miss a share of the connections."""
    rng = random.Random(7)
    seen = [c.server for c in made if c.server is not None and rng.random() >= missed]
    looks, at_ms = [], 0.0
    while (at_ms := at_ms + each_ms * rng.uniform(0.8, 1.2)) < 1000 * SECONDS:
        look = sample(at_ms)
        there = sum(s.accepted_ns <= look.at_ns < (s.finished_ns or 2**63) for s in seen)
        looks.append(replace(look, in_service=there))
    return result(made, samples=looks, ended=1000 * SECONDS)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("rate_per_s", "mean_ms"), [(20, 300), (50, 20), (2, 10), (40, 2500)])
def test_samples_agree_with_records(rate_per_s: float, mean_ms: float, seed: int) -> None:
    assert list(check_little_law(evidence(looked_at(connections(rate_per_s, mean_ms, seed))))) == []


def test_constant_rate_in_step_agrees() -> None:
    made = [
        JoinedConnection(client(due=at, connect=at, connected=at), server(at, at, at + 30))
        for at in range(0, 1000 * SECONDS, 100)
    ]
    assert list(check_little_law(evidence(looked_at(made)))) == []


def test_constant_connections_agree() -> None:
    made = [JoinedConnection(client(due=k, connect=k, connected=k), server(k, k, None)) for k in range(50)]
    assert list(check_little_law(evidence(looked_at(made)))) == []


@pytest.mark.parametrize(("rate_per_s", "mean_ms"), [(20, 300), (40, 2500)])
def test_samples_missing_a_third_are_found(rate_per_s: float, mean_ms: float) -> None:
    (found,) = check_little_law(evidence(looked_at(connections(rate_per_s, mean_ms, 1), missed=0.33)))
    assert (found.code, found.severity) == ("little_law", "suspect")


def test_few_samples_are_not_judged() -> None:
    wrong = looked_at(connections(20, 300, 1), missed=0.5)
    few = looked_at(connections(20, 300, 1), missed=0.5, each_ms=170)
    bare = JoinedConnection(client(due=5, connect=5, connected=5), None)
    for untold in (few, replace(wrong, foreign=1), replace(wrong, connections=[*wrong.connections, bare])):
        assert list(check_little_law(evidence(untold))) == []


CLOSED = {"name": "script", "kind": "closed", "duration_s": 10.0, "warm_up_s": 0.0}


def answered(first_ms: float, second_ms: float, *, scatter: float = 0.3, each_ms: float = 10) -> JoinedConnection:
    """Return a message every 10 ms over 10 s; the mean response time differs between the halves."""
    rng = random.Random(5)
    dues = [each_ms * k for k in range(int(10_000 / each_ms))]
    means = [first_ms if due < 5000 else second_ms for due in dues]
    messages = [
        (due, due, due + mean * rng.uniform(1 - scatter, 1 + scatter)) for due, mean in zip(dues, means, strict=True)
    ]
    return JoinedConnection(client(connect=0, connected=1, greeted=2, closed=10_000, messages=messages), None)


@pytest.mark.parametrize(
    ("made", "drifted"),
    [
        (answered(4.0, 4.0), False),
        (answered(4.0, 6.0), True),
        (answered(6.0, 4.0), True),
        (answered(4.0, 4.9), False),  # far more than chance, but too small to matter
        (answered(0.05, 0.14), False),  # less than the scatter of a scheduler
        (answered(4.0, 6.0, each_ms=100), False),  # fifty answers per half are too few
    ],
)
def test_halves_must_differ_enough(made: JoinedConnection, drifted: bool) -> None:
    found = list(check_drift(evidence(result([made], ended=10_000), groups=[CLOSED])))
    assert [(reason.code, reason.severity) for reason in found] == [("drift", "suspect")] * drifted


@pytest.mark.parametrize(
    ("load", "drifted"), [(0.7, False), (0.85, False), (0.9, False), (1.2, True), (2.0, True)]
)  # work that arrives in a second, in seconds
def test_growing_queue_is_drift(load: float, drifted: bool) -> None:
    rng, due, free, messages = random.Random(4), 0.0, 0.0, []
    while (due := due + rng.expovariate(load / 5)) < 10_000:  # each takes 5 ms on average, one at a time
        free = max(due, free) + rng.expovariate(1 / 5)
        messages.append((due, due, free))
    made = JoinedConnection(client(closed=30_000, messages=messages), None)
    window = CLOSED | {"kind": "open"}
    assert bool(list(check_drift(evidence(result([made], ended=10_000), groups=[window])))) is drifted


def test_correlated_waits_are_no_drift() -> None:
    rng, level, messages = random.Random(3), 4.0, []
    for k in range(2000):
        level = 4 + 0.99 * (level - 4) + rng.gauss(0, 0.2)
        messages.append((5.0 * k, 5.0 * k, 5.0 * k + max(level, 0.5)))
    made = JoinedConnection(client(closed=10_000, messages=messages), None)
    assert list(check_drift(evidence(result([made], ended=10_000), groups=[CLOSED]))) == []


@pytest.mark.parametrize(
    ("change", "judged"),
    [
        ({}, True),
        ({"kind": "open", "stages": None}, True),
        ({"kind": "open", "stages": [{"rate_per_s": 9.0, "duration_s": 10.0}]}, False),
        ({"kind": "script"}, False),
        ({"warm_up_s": 5.0}, False),  # the change is at the end of the warm-up, outside of the window
    ],
)
def test_only_steady_groups_are_judged(change: dict[str, Any], judged: bool) -> None:
    found = list(check_drift(evidence(result([answered(4.0, 8.0)], ended=10_000), groups=[CLOSED | change])))
    assert bool(found) is judged


def test_changing_groups_are_not_judged() -> None:
    attack = {"name": "attack", "kind": "open", "start_s": 5.0, "duration_s": 5.0}
    other = {"name": "other", "kind": "open", "start_s": 0.0, "duration_s": 10.0}
    of = result([answered(4.0, 8.0)], ended=10_000)
    assert list(check_drift(evidence(of, groups=[CLOSED, attack]))) == []
    assert len(list(check_drift(evidence(of, groups=[CLOSED, other])))) == 1
