"""Percentiles."""

import numpy as np
import pytest

from coreserver.reports.percentiles import nearest_rank, stats_ms
from coreserver.reports.schema.definitions import samples_needed

MS = 1_000_000


@pytest.mark.parametrize(
    ("count", "per_mille", "rank"),
    [
        (1, 500, 1),
        (2, 500, 1),
        (3, 500, 2),
        (20, 500, 10),
        (21, 500, 11),
        (100, 900, 90),
        (101, 900, 91),
        (1000, 990, 990),
        (10_000, 999, 9990),
        (10_001, 999, 9991),
    ],
)
def test_nearest_rank(count: int, per_mille: int, rank: int) -> None:
    assert nearest_rank(np.arange(1, count + 1), per_mille) == rank


@pytest.mark.parametrize(("per_mille", "needed"), [(500, 20), (900, 100), (990, 1000), (999, 10_000)])
def test_percentile_needs_ten_samples_above(per_mille: int, needed: int) -> None:
    assert samples_needed(per_mille) == needed


def test_three_samples_have_no_percentiles() -> None:
    assert stats_ms([3 * MS, 1 * MS, 8 * MS]).model_dump() == {
        "count": 3,
        "mean": 4.0,
        "min": 1.0,
        "p50": None,
        "p90": None,
        "p99": None,
        "p99_9": None,
        "max": 8.0,
    }


def test_no_samples_have_no_statistics() -> None:
    assert stats_ms([]).model_dump() == dict.fromkeys(("mean", "min", "p50", "p90", "p99", "p99_9", "max")) | {
        "count": 0
    }


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (19, {}),
        (20, {"p50": 10.0}),
        (99, {"p50": 50.0}),
        (100, {"p50": 50.0, "p90": 90.0}),
        (1000, {"p50": 500.0, "p90": 900.0, "p99": 990.0}),
        (10_000, {"p50": 5000.0, "p90": 9000.0, "p99": 9900.0, "p99_9": 9990.0}),
    ],
)
def test_percentiles_appear_with_the_samples_they_need(count: int, shown: dict[str, float]) -> None:
    figures = stats_ms(k * MS for k in range(count, 0, -1)).model_dump()
    assert {name: figures[name] for name in ("p50", "p90", "p99", "p99_9") if figures[name] is not None} == shown
