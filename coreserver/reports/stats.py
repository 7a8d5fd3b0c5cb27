"""Percentiles and histograms of spans of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

from coreserver.clock import milliseconds

# Name and per mille. A percentile q wants 10 / (1 - q) samples, so that ten of them lie above it.
PERCENTILES = {"p50": 500, "p90": 900, "p99": 990, "p99_9": 999}

LOWEST_US = 1
HIGHEST_US = 3_600_000_000
SIGNIFICANT_DIGITS = 3


def samples_needed(per_mille: int) -> int:
    """Below so many samples this percentile is not shown."""
    return 10_000 // (1000 - per_mille)


def nearest_rank(ascending: list[int], per_mille: int) -> int:
    """The smallest sample that is not below `per_mille` thousandths of them (nearest rank: always a real sample)."""
    rank = -(-len(ascending) * per_mille // 1000)  # the ceiling, in whole numbers
    return ascending[max(rank, 1) - 1]


def stats_ms(spans_ns: Iterable[int]) -> dict[str, float | int | None]:
    """Count, mean, min, percentiles and max in milliseconds; None where there are too few samples to say."""
    ascending = sorted(spans_ns)
    count = len(ascending)
    figures: dict[str, float | int | None] = {
        "count": count,
        "mean": milliseconds(sum(ascending)) / count if count else None,
        "min": milliseconds(ascending[0]) if count else None,
    }
    for name, per_mille in PERCENTILES.items():
        enough = count >= samples_needed(per_mille)
        figures[name] = milliseconds(nearest_rank(ascending, per_mille)) if enough else None
    figures["max"] = milliseconds(ascending[-1]) if count else None
    return figures


def hdr_v2(spans_ns: Iterable[int]) -> str | None:
    """The spans as an HDR histogram of whole microseconds in the public V2 encoding, base64; None of nothing.

    Spans above an hour are counted as an hour, the histogram's end.
    """
    counts = Counter(min(round(span / 1000), HIGHEST_US) for span in spans_ns)
    if not counts:
        return None
    histogram = HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)
    for value, count in counts.items():
        histogram.record_value(value, count)
    encoded: bytes = histogram.encode()
    return encoded.decode("ascii")


def histograms(response_ns: Iterable[int], round_trip_ns: Iterable[int]) -> dict[str, Any]:
    """The report's `histograms`: both distributions whole, and what a reader must know to decode them."""
    return {
        "encoding": "HdrHistogram V2, compressed, base64",
        "unit": "microseconds",
        "lowest": LOWEST_US,
        "highest": HIGHEST_US,
        "significant_digits": SIGNIFICANT_DIGITS,
        "response": hdr_v2(response_ns),
        "round_trip": hdr_v2(round_trip_ns),
    }
