"""Percentiles of spans of time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from coreserver.clock import milliseconds

# Name and per mille. A percentile q wants 10 / (1 - q) samples, so that ten of them lie above it.
PERCENTILES = {"p50": 500, "p90": 900, "p99": 990, "p99_9": 999}


def samples_needed(per_mille: int) -> int:
    """Below so many samples this percentile is not shown."""
    return 10_000 // (1000 - per_mille)


def nearest_rank(ascending: NDArray[np.int64], per_mille: int) -> int:
    """The smallest sample that is not below `per_mille` thousandths of them (nearest rank: always a real sample)."""
    rank = -(-len(ascending) * per_mille // 1000)  # the ceiling, in whole numbers
    return int(ascending[max(rank, 1) - 1])


def percentile_ms(ascending: NDArray[np.int64], per_mille: int) -> float | None:
    """The percentile in milliseconds; None where there are too few samples to say."""
    enough = len(ascending) >= samples_needed(per_mille)
    return milliseconds(nearest_rank(ascending, per_mille)) if enough else None


def stats_ms(spans_ns: NDArray[np.int64] | Iterable[int]) -> dict[str, float | int | None]:
    """Count, mean, min, percentiles and max in milliseconds; None where there are too few samples to say."""
    spans = spans_ns if isinstance(spans_ns, np.ndarray) else np.fromiter(spans_ns, dtype=np.int64)
    ascending = np.sort(spans)
    count = len(ascending)
    return {
        "count": count,
        "mean": milliseconds(int(ascending.sum())) / count if count else None,
        "min": milliseconds(int(ascending[0])) if count else None,
        **{name: percentile_ms(ascending, per_mille) for name, per_mille in PERCENTILES.items()},
        "max": milliseconds(int(ascending[-1])) if count else None,
    }
