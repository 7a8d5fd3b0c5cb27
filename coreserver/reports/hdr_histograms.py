"""HDR histograms of spans of time: the public V2 encoding, and the percentile text that the public plotter opens."""

from __future__ import annotations

import base64
import functools
import struct
import zlib
from collections.abc import Iterator
from math import log2
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]
from numpy.typing import NDArray

from coreserver.clock import NS_PER_S
from coreserver.errors import RecordsIncomplete
from coreserver.records.inflate import inflate
from coreserver.reports.timing import Nanoseconds

LOWEST_US = 1
HIGHEST_US = 3_600_000_000
SIGNIFICANT_DIGITS = 3
_EXACT_BITS = 11  # three digits need 2,000 steps: smaller values are kept as they are, larger ones to so many bits
_US_PER_MS = 1000
_TICKS_PER_HALF = 5  # lines of percentile text each time the distance to 100 % halves; the public tools' own choice

FINE_NS = NS_PER_S // 10  # the series' step
COARSE_NS = NS_PER_S
FINE_UP_TO = 600  # steps: a run longer than a minute has a histogram a second, so that its report stays small


def hdr_v2(spans_ns: Nanoseconds) -> str | None:
    """The spans as an HDR histogram of whole microseconds in the public V2 encoding, base64; None of nothing.

    Spans above an hour are counted as an hour, the histogram's end.
    """
    if not len(spans_ns):
        return None
    histogram = HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)
    _count(histogram, np.clip(np.rint(spans_ns / 1000).astype(np.int64), 0, HIGHEST_US))
    encoded: bytes = histogram.encode()
    return encoded.decode("ascii")


def _count(histogram: Any, values_us: NDArray[np.int64]) -> None:
    """Counts all values at once, in the array that the histogram encodes.

    Recorded one by one, the values of a long run's many histograms would keep the interpreter busy for a second.
    """
    bits_off = np.maximum(np.frexp(values_us)[1] - _EXACT_BITS, 0)
    # Values below 2 ** _EXACT_BITS have a count each; from there on each power of two has half as many.
    counts = np.bincount((bits_off << (_EXACT_BITS - 1)) + (values_us >> bits_off))
    np.frombuffer(histogram.counts, dtype=np.uint64)[: len(counts)] = counts
    used = np.flatnonzero(counts)
    histogram.set_internal_tacking_values(int(used[0]), int(used[-1]), len(values_us))


def histograms(
    response_ns: Nanoseconds, round_trip_ns: Nanoseconds, *, due_ns: Nanoseconds, duration_ns: int
) -> dict[str, Any]:
    """The report's `histograms`: both distributions whole, response time also per interval, and how to decode them.

    Args:
        due_ns: when each of the answered messages was due, from the run's start: the interval it is counted in.
    """
    step = FINE_NS if duration_ns <= FINE_UP_TO * FINE_NS else COARSE_NS
    steps = max(1, -(-duration_ns // step))
    return {
        "encoding": "HdrHistogram V2, compressed, base64",
        "unit": "microseconds",
        "lowest": LOWEST_US,
        "highest": HIGHEST_US,
        "significant_digits": SIGNIFICANT_DIGITS,
        "response": hdr_v2(response_ns),
        "round_trip": hdr_v2(round_trip_ns),
        "intervals": {
            "interval_s": step / NS_PER_S,
            "response": [hdr_v2(part) for part in by_step(response_ns, due_ns, step, steps)],
        },
    }


def by_step(values: Nanoseconds, at_ns: Nanoseconds, step_ns: int, steps: int) -> Iterator[Nanoseconds]:
    """The values of each of `steps` intervals; what came before the first or after the last is in those."""
    place = np.clip(at_ns // step_ns, 0, steps - 1)
    order = np.argsort(place, kind="stable")
    ends = np.searchsorted(place[order], np.arange(steps), side="right")
    in_order = values[order]
    return (in_order[start:end] for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True))


def percentile_text(encoded: str | None) -> str:
    """A histogram of a report as the HdrHistogram tools print and plot it, in milliseconds.

    Args:
        encoded: as `hdr_v2` gives it.
    """
    empty = HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)
    histogram = empty if encoded is None else HdrHistogram.decode(encoded)
    mean, deviation = histogram.get_mean_value() / _US_PER_MS, histogram.get_stddev() / _US_PER_MS
    largest, total = histogram.get_max_value() / _US_PER_MS, histogram.get_total_count()
    return "".join(
        [
            f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}\n\n",
            *_percentile_lines(histogram),
            f"#[Mean    = {mean:12.3f}, StdDeviation   = {deviation:12.3f}]\n",
            f"#[Max     = {largest:12.3f}, Total count    = {total:12d}]\n",
            f"#[Buckets = {histogram.bucket_count:12d}, SubBuckets     = {histogram.sub_bucket_count:12d}]\n",
        ]
    )


def _percentile_lines(histogram: Any) -> Iterator[str]:
    """A line at every so many percent, the steps halving as often as the distance to 100 % does.

    The last line, 100 %, is infinitely many halvings away and has no fourth column.
    """
    level = 0.0
    for step in histogram.get_recorded_iterator():
        passed, value_ms = step.total_count_to_this_value, step.value_iterated_to / _US_PER_MS
        while level < 1 and passed >= level * histogram.get_total_count():
            yield f"{value_ms:12.3f} {level:2.12f} {passed:10d} {1 / (1 - level):14.2f}\n"
            if passed == histogram.get_total_count():
                yield f"{value_ms:12.3f} {1:2.12f} {passed:10d}\n"
                return
            level += 1 / (_TICKS_PER_HALF * 2 ** (int(log2(1 / (1 - level))) + 1))


# --- of a stranger ---------------------------------------------------------------------------------------------------

_OUTER = struct.Struct(">II")  # cookie, length of the deflated rest
_INNER = struct.Struct(">IIIIQQd")  # cookie, length of the counts, offset, digits, lowest, highest, ratio
_OUTER_COOKIE, _INNER_COOKIE = 0x1C849314, 0x1C849313
_MOST_INFLATED = _INNER.size + 9 * 32768  # more counts than any value of ours can need, nine bytes each


def total_count(encoded: str | None, name: str) -> int:
    """How many values a histogram holds, after a look at all of it: the decoder trusts what it is given.

    Args:
        name: of the histogram, for the error.

    Raises:
        RecordsIncomplete: it is none of `hdr_v2`; the message begins with `name`.
    """
    if encoded is None:
        return 0
    try:
        data = base64.b64decode(encoded, validate=True)
        cookie, length = _OUTER.unpack_from(data)
        if cookie != _OUTER_COOKIE or length != len(data) - _OUTER.size:
            raise ValueError
        payload = inflate(data[_OUTER.size :], _MOST_INFLATED)
        cookie, length, offset, digits, lowest, highest, _ = _INNER.unpack_from(payload)
        if (cookie, offset, digits, lowest, highest) != (_INNER_COOKIE, 0, SIGNIFICANT_DIGITS, LOWEST_US, HIGHEST_US):
            raise ValueError
        if length != len(payload) - _INNER.size:
            raise ValueError
        return _sum_of_counts(payload[_INNER.size :])
    except (ValueError, struct.error, zlib.error):
        raise RecordsIncomplete(f"{name}: is no histogram of the encoding and range that the report names") from None


def _sum_of_counts(varints: bytes) -> int:
    """The sum of ZigZag LEB128 numbers; a negative one stands for so many zeros. ValueError: too many, or cut off."""
    places = _places()
    total = value = shift = 0
    for byte in varints:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte & 0x80:
            if shift > 49:
                raise ValueError
            continue
        places -= value + 1 >> 1 if value & 1 else 1
        total += 0 if value & 1 else value >> 1
        value = shift = 0
    if shift or places < 0:
        raise ValueError
    return total


@functools.cache
def _places() -> int:
    """How many counts a histogram of ours has."""
    return int(HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS).counts_len)
