"""HDR histograms of durations: the public V2 encoding, and the percentile text that the public plotter reads."""

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
from coreserver.reports.schema.definitions import HIGHEST_US, LOWEST_US, SIGNIFICANT_DIGITS
from coreserver.reports.schema.figures import Histograms, IntervalHistograms
from coreserver.reports.timing import Nanoseconds

_EXACT_BITS = 11  # three digits need 2,000 steps: smaller values are kept exactly, larger ones to 11 bits
_US_PER_MS = 1000
_TICKS_PER_HALF = 5  # lines of percentile text per halving of the distance to 100 %, as in the public tools

FINE_NS = NS_PER_S // 10  # the step of the series
COARSE_NS = NS_PER_S
FINE_UP_TO = 600  # steps: a run longer than a minute has one histogram per second, which keeps its report small


def hdr_v2(spans_ns: Nanoseconds) -> str | None:
    """Return the durations as an HDR histogram of whole microseconds in the public V2 encoding, base64; None if empty.

    Durations above an hour are counted as an hour, the largest value of the histogram.
    """
    if not len(spans_ns):
        return None
    histogram = HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)
    _count(histogram, np.clip(np.rint(spans_ns / 1000).astype(np.int64), 0, HIGHEST_US))
    encoded: bytes = histogram.encode()
    return encoded.decode("ascii")


def _count(histogram: Any, values_us: NDArray[np.int64]) -> None:
    """Count all values at once, in the array that the histogram encodes.

    Recording the values of a long run one by one would keep the interpreter busy for a second.
    """
    bits_off = np.maximum(np.frexp(values_us)[1] - _EXACT_BITS, 0)
    # Values below 2 ** _EXACT_BITS have a count each; each power of two above has half as many counts.
    counts = np.bincount((bits_off << (_EXACT_BITS - 1)) + (values_us >> bits_off))
    np.frombuffer(histogram.counts, dtype=np.uint64)[: len(counts)] = counts
    used = np.flatnonzero(counts)
    histogram.set_internal_tacking_values(int(used[0]), int(used[-1]), len(values_us))


def histograms(
    response_ns: Nanoseconds, round_trip_ns: Nanoseconds, *, due_ns: Nanoseconds, duration_ns: int
) -> Histograms:
    """Return both distributions as a whole, and the response time per interval as well.

    Args:
        due_ns: when each of the answered messages was due, from the run's start; decides the interval it counts in.
    """
    step = FINE_NS if duration_ns <= FINE_UP_TO * FINE_NS else COARSE_NS
    steps = max(1, -(-duration_ns // step))
    return Histograms(
        encoding="HdrHistogram V2, compressed, base64",
        unit="microseconds",
        lowest=LOWEST_US,
        highest=HIGHEST_US,
        significant_digits=SIGNIFICANT_DIGITS,
        response=hdr_v2(response_ns),
        round_trip=hdr_v2(round_trip_ns),
        intervals=IntervalHistograms(
            interval_s=step / NS_PER_S,
            response=[hdr_v2(part) for part in by_step(response_ns, due_ns, step, steps)],
        ),
    )


def by_step(values: Nanoseconds, at_ns: Nanoseconds, step_ns: int, steps: int) -> Iterator[Nanoseconds]:
    """Return the values of each of `steps` intervals; earlier values are in the first one, later ones in the last."""
    place = np.clip(at_ns // step_ns, 0, steps - 1)
    order = np.argsort(place, kind="stable")
    ends = np.searchsorted(place[order], np.arange(steps), side="right")
    in_order = values[order]
    return (in_order[start:end] for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True))


def percentile_text(encoded: str | None) -> str:
    """Return a histogram of a report in the text form of the HdrHistogram tools, in milliseconds.

    Args:
        encoded: the result of `hdr_v2`.
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
    """Yield one line per percentile level; the step is halved whenever the distance to 100 % is halved.

    The last line, 100 %, has no fourth column because that would be infinite.
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


# --- untrusted input -------------------------------------------------------------------------------------------------

_OUTER = struct.Struct(">II")  # cookie, length of the deflated rest
_INNER = struct.Struct(">IIIIQQd")  # cookie, length of the counts, offset, digits, lowest, highest, ratio
_OUTER_COOKIE, _INNER_COOKIE = 0x1C849314, 0x1C849313
_MAX_INFLATED = _INNER.size + 9 * 32768  # more counts than any histogram of a report has, nine bytes each


def total_count(encoded: str | None, name: str) -> int:
    """Return the number of values in a histogram after checking all of it, because the decoder checks nothing.

    Args:
        name: the histogram's name in the report, for the error message.

    Raises:
        RecordsIncomplete: it is not in the encoding of `hdr_v2`; the message begins with `name`.
    """
    if encoded is None:
        return 0
    try:
        data = base64.b64decode(encoded, validate=True)
        cookie, length = _OUTER.unpack_from(data)
        if cookie != _OUTER_COOKIE or length != len(data) - _OUTER.size:
            raise ValueError
        payload = inflate(data[_OUTER.size :], _MAX_INFLATED)
        cookie, length, offset, digits, lowest, highest, _ = _INNER.unpack_from(payload)
        if (cookie, offset, digits, lowest, highest) != (_INNER_COOKIE, 0, SIGNIFICANT_DIGITS, LOWEST_US, HIGHEST_US):
            raise ValueError
        if length != len(payload) - _INNER.size:
            raise ValueError
        return _sum_of_counts(payload[_INNER.size :])
    except (ValueError, struct.error, zlib.error):
        raise RecordsIncomplete(f"{name}: is not a histogram of the encoding and range that the report names") from None


def _sum_of_counts(varints: bytes) -> int:
    """Return the sum of ZigZag LEB128 numbers; -n means n zeros. ValueError: too many numbers, or truncated."""
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
    """Return the number of counts in a histogram of a report."""
    return int(HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS).counts_len)
