"""Percentiles and other statistics of durations."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from coreserver.clock import milliseconds
from coreserver.reports.schema.definitions import PERCENTILES, samples_needed
from coreserver.reports.schema.figures import Statistics


def nearest_rank(ascending: NDArray[np.int64], per_mille: int) -> int:
    """Return the smallest sample that is at least as large as `per_mille` thousandths of all (always a real sample)."""
    rank = -(-len(ascending) * per_mille // 1000)  # the ceiling, in whole numbers
    return int(ascending[max(rank, 1) - 1])


def percentile_ms(ascending: NDArray[np.int64], per_mille: int) -> float | None:
    """Return the percentile in milliseconds; None if there are too few samples."""
    enough = len(ascending) >= samples_needed(per_mille)
    return milliseconds(nearest_rank(ascending, per_mille)) if enough else None


def stats_ms(spans_ns: NDArray[np.int64] | Iterable[int]) -> Statistics:
    """Return count, mean, minimum, percentiles and maximum in milliseconds; None where there are too few samples."""
    spans = spans_ns if isinstance(spans_ns, np.ndarray) else np.fromiter(spans_ns, dtype=np.int64)
    ascending = np.sort(spans)
    count = len(ascending)
    return Statistics(
        count=count,
        mean=milliseconds(int(ascending.sum())) / count if count else None,
        min=milliseconds(int(ascending[0])) if count else None,
        max=milliseconds(int(ascending[-1])) if count else None,
        **{name: percentile_ms(ascending, per_mille) for name, per_mille in PERCENTILES.items()},
    )
