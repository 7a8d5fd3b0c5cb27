"""Distributions out of a report's HDR histograms: how many of each value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]
from numpy.typing import NDArray

_HALF = 1024  # steps in which each power of two is counted, with three significant digits


@dataclass(frozen=True, slots=True)
class Distribution:
    """Counts by place in the histogram; see `upper_ms` and `lower_ms` for what a place stands for."""

    counts: NDArray[np.int64]

    @property
    def total(self) -> int:
        """How many values there are."""
        return int(self.counts.sum())

    def at(self, per_one: NDArray[np.float64]) -> NDArray[np.float64]:
        """The percentiles, each given as a share of one, in milliseconds (nearest rank)."""
        passed = np.cumsum(self.counts)
        ranks = np.maximum(np.ceil(per_one * self.total - 1e-9), 1)
        places: NDArray[np.int64] = np.searchsorted(passed, ranks)
        return upper_ms(places)


def decoded(encoded: Iterable[str | None]) -> Distribution:
    """All of these histograms as one; None holds nothing."""
    counts = np.zeros(0, dtype=np.int64)
    for text in encoded:
        if text is not None:
            more = np.frombuffer(HdrHistogram.decode(text).counts, dtype=np.uint64).astype(np.int64)
            counts = more if not len(counts) else counts + more
    return Distribution(counts)


def lower_ms(places: NDArray[np.int64]) -> NDArray[np.float64]:
    """The least value that is counted in each place."""
    bucket = np.maximum(places // _HALF - 1, 0)
    found: NDArray[np.float64] = ((places - bucket * _HALF) << bucket) / 1000
    return found


def upper_ms(places: NDArray[np.int64]) -> NDArray[np.float64]:
    """The largest value that is counted in each place, as the public tools print it."""
    bucket = np.maximum(places // _HALF - 1, 0)
    found: NDArray[np.float64] = (((places - bucket * _HALF + 1) << bucket) - 1) / 1000
    return found
