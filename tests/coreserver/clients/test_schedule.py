"""Due times and messages, compared with results worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from coreserver.clients.schedule import (
    MAX_POOL_BYTES,
    MAX_POOL_MESSAGES,
    arrivals,
    message_pool,
    plan_of,
    schedule_hash,
)
from coreserver.clock import NS_PER_MS, NS_PER_S
from coreserver.config.client_group import Segment
from coreserver.config.load import LoadConfig
from coreserver.protocols.article import ProtocolEngine


@pytest.mark.parametrize(
    ("segments", "expected_ms"),
    [
        pytest.param([(4, 4, 1.0)], [0, 250, 500, 750], id="constant"),
        pytest.param([(2, 2, 0.75)], [0, 500], id="the end is not part of it"),
        pytest.param([(2, 2, 1.0), (0, 0, 1.0), (4, 4, 0.5)], [0, 500, 2000, 2250], id="stages with a pause"),
        pytest.param([(2, 2, 0.75), (4, 4, 0.5)], [0, 500, 875, 1125], id="half an arrival is carried over"),
        pytest.param([(0, 8, 1.0)], [0, 500, 707.106781, 866.025404], id="ramp up: the square root of k / 4"),
        pytest.param([(8, 0, 1.0)], [0, 133.974596, 292.893219, 500], id="ramp down: the same from the end"),
        pytest.param([(0, 4, 1.0), (4, 4, 0.5)], [0, 707.106781, 1000, 1250], id="ramp, then constant"),
    ],
)
def test_constant_arrivals_follow_the_rate(segments: list[Segment], expected_ms: list[float]) -> None:
    assert list(arrivals(segments, "constant", Random(1))) == [round(ms * NS_PER_MS) for ms in expected_ms]


@pytest.mark.parametrize(
    ("segments", "mean"),
    [
        pytest.param([(1000, 1000, 10.0)], 10_000, id="constant rate"),
        pytest.param([(0, 2000, 10.0)], 10_000, id="ramp"),
        pytest.param([(500, 500, 10.0), (0, 0, 3.0), (2500, 2500, 2.0)], 10_000, id="stages"),
    ],
)
def test_poisson_counts_have_poisson_variance(segments: list[Segment], mean: int) -> None:
    offsets = list(arrivals(segments, "poisson", Random(7)))
    assert offsets == sorted(offsets)
    assert offsets[0] >= 0
    assert offsets[-1] < sum(seconds for *_, seconds in segments) * NS_PER_S
    assert abs(len(offsets) - mean) < 4 * math.sqrt(mean)


def test_poisson_gaps_are_exponential() -> None:
    offsets = list(arrivals([(1000, 1000, 20.0)], "poisson", Random(3)))
    gaps = sorted((b - a) / NS_PER_MS for a, b in pairwise(offsets))
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(1.0, rel=0.05)
    assert gaps[len(gaps) // 2] == pytest.approx(math.log(2), rel=0.05)
    assert sum((gap - mean) ** 2 for gap in gaps) / len(gaps) == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("payload_bytes", [1, 14, 5000, 1 << 20])
def test_pool_entries_are_single_messages(payload_bytes: int) -> None:
    pool = message_pool(payload_bytes, Random(5))
    assert len(pool) == max(1, min(MAX_POOL_MESSAGES, MAX_POOL_BYTES // payload_bytes))
    for data, reply in pool[:20]:
        engine = ProtocolEngine()
        assert engine.receive(data) == reply
        assert (len(reply), engine.messages_finished, engine.in_message) == (payload_bytes, 1, False)


def load(*groups: dict[str, Any], seed: int = 1) -> LoadConfig:
    return LoadConfig.model_validate({"clients": list(groups), "seed": seed})


def hash_of(config: LoadConfig) -> str:
    return schedule_hash(config, [plan_of(group, config.seed) for group in config.clients])


OPEN = {"kind": "open", "rate_per_s": 100.0, "duration_s": 2.0}


def test_same_seed_makes_same_schedule() -> None:
    assert hash_of(load(OPEN)) == hash_of(load(OPEN))


@pytest.mark.parametrize(
    "other",
    [
        load(OPEN, seed=2),
        load(OPEN | {"rate_per_s": 101.0}),
        load(OPEN | {"arrivals": "constant"}),
        load(OPEN | {"message_bytes": 15}),
        load(OPEN | {"start_s": 0.5}),
        load(OPEN, {"kind": "closed"}),
    ],
)
def test_hash_shows_any_difference(other: LoadConfig) -> None:
    assert hash_of(other) != hash_of(load(OPEN))


def test_groups_have_independent_schedules() -> None:
    alone = plan_of(load(OPEN).clients[0], 1)
    together = load({"kind": "flood"}, OPEN)
    assert plan_of(together.clients[1], 1) == alone
    assert plan_of(load(OPEN | {"message_bytes": 900}).clients[0], 1).due_ns == alone.due_ns


def test_counted_clients_are_due_at_start() -> None:
    plan = plan_of(load({"kind": "closed", "count": 3, "start_s": 0.25}).clients[0], 1)
    assert list(plan.due_ns) == [250 * NS_PER_MS] * 3
    assert all(0 <= first < len(plan.pool) for first in plan.first)
