"""Distributions from the HDR histograms of a report: the number of samples per value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]
from numpy.typing import NDArray

_HALF = 1024  # counts per power of two, with three significant digits


@dataclass(frozen=True, slots=True)
class Distribution:
    """Counts by place in the histogram; `lower_ms` and `upper_ms` give the values of a place."""

    counts: NDArray[np.int64]

    @property
    def total(self) -> int:
        """The number of samples."""
        return int(self.counts.sum())

    def at(self, per_one: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return percentiles, given as shares of one, in milliseconds (nearest rank)."""
        passed = np.cumsum(self.counts)
        ranks = np.maximum(np.ceil(per_one * self.total - 1e-9), 1)
        places: NDArray[np.int64] = np.searchsorted(passed, ranks)
        return upper_ms(places)


def decode(encoded: Iterable[str | None]) -> Distribution:
    """Decode histograms and add them up; None is an empty one."""
    counts = np.zeros(0, dtype=np.int64)
    for text in encoded:
        if text is not None:
            more = np.frombuffer(HdrHistogram.decode(text).counts, dtype=np.uint64).astype(np.int64)
            counts = more if not len(counts) else counts + more
    return Distribution(counts)


def lower_ms(places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the smallest value of each place."""
    bucket = np.maximum(places // _HALF - 1, 0)
    found: NDArray[np.float64] = ((places - bucket * _HALF) << bucket) / 1000
    return found


def upper_ms(places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the largest value of each place, as the public tools print it."""
    bucket = np.maximum(places // _HALF - 1, 0)
    found: NDArray[np.float64] = (((places - bucket * _HALF + 1) << bucket) - 1) / 1000
    return found
