"""HDR histograms, whole and per interval, and the text that the public plotter opens."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

from coreserver.errors import RecordsIncomplete
from coreserver.reports.hdr_histograms import hdr_v2, histograms, percentile_text, total_count

MS = 1_000_000
S = 1000 * MS


def spans(*ns: float) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(ns, dtype=np.int64)


def test_public_tools_read_three_digits() -> None:
    decoded: Any = HdrHistogram.decode(hdr_v2(spans(1_000, 1_499, 20 * MS, 20 * MS, 7_200_000 * MS)))
    assert decoded.get_total_count() == 5
    assert decoded.get_count_at_value(1) == 2  # microseconds; 1.499 is nearest to 1
    assert decoded.get_count_at_value(20_000) == 2
    assert decoded.get_max_value() == pytest.approx(3_600_000_000, rel=0.001)  # two hours are counted as one


def test_equals_histogram_recorded_by_value() -> None:
    rng = np.random.default_rng(3)
    some = (rng.lognormal(12, 3, 5000) + rng.integers(0, 4000, 5000)).astype(np.int64)
    one_by_one = HdrHistogram(1, 3_600_000_000, 3)
    for span in some.tolist():
        one_by_one.record_value(round(span / 1000))
    assert hdr_v2(some) == one_by_one.encode().decode()


def test_empty_histogram_is_none() -> None:
    both = histograms(spans(), spans(1_000), due_ns=spans(), duration_ns=S)
    assert (both.response, both.unit) == (None, "microseconds")
    assert str(both.round_trip).startswith("HISTF")


@pytest.mark.parametrize(
    ("duration_ns", "interval_s", "count"), [(1, 0.1, 1), (S, 0.1, 10), (60 * S, 0.1, 600), (60 * S + 1, 1.0, 61)]
)
def test_long_run_has_one_histogram_per_second(duration_ns: int, interval_s: float, count: int) -> None:
    intervals = histograms(spans(), spans(), due_ns=spans(), duration_ns=duration_ns).intervals
    assert (intervals.interval_s, len(intervals.response)) == (interval_s, count)


def test_message_counts_where_it_was_due() -> None:
    due_ns = spans(250 * MS, 0, 99 * MS, 400 * MS)
    made = histograms(spans(3 * MS, 1 * MS, 2 * MS, 4 * MS), spans(), due_ns=due_ns, duration_ns=400 * MS)
    first, second, third, last = made.intervals.response
    assert second is None
    counts = [HdrHistogram.decode(part).get_total_count() for part in (first, third, last)]
    assert counts == [2, 1, 1]  # due at the end of the run: in the last interval


def test_million_messages_are_counted() -> None:
    rng = np.random.default_rng(1)
    made = histograms(
        rng.integers(0, 50 * MS, 1_000_000), spans(), due_ns=rng.integers(0, 5 * S, 1_000_000), duration_ns=5 * S
    )
    assert sum(HdrHistogram.decode(part).get_total_count() for part in made.intervals.response) == 1_000_000


def lines(text: str) -> list[list[str]]:
    """Return what the plotter reads: every line of four columns that is not a comment."""
    split = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return [columns for columns in split if len(columns) == 4]


def test_percentile_text_fits_the_plotter() -> None:
    text = percentile_text(hdr_v2(spans(*(k * MS for k in range(1, 1001)))))
    header, *rows = lines(text)
    assert header == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    assert text.splitlines()[1] == ""
    values = [[float(cell) for cell in row] for row in rows]
    assert values == sorted(values)
    for value, percentile, count, halvings in values:
        assert count >= percentile * 1000
        assert halvings == pytest.approx(1 / (1 - percentile), rel=0.01)
        assert value == pytest.approx(count, rel=0.001)  # k ms is the k-th of them
    assert values[5] == [500.223, 0.5, 500, 2.0]
    assert [row[1] for row in values[5:12]] == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.775]


def test_last_lines_are_in_milliseconds() -> None:
    text = percentile_text(hdr_v2(spans(10 * MS, 20 * MS, 30 * MS)))
    assert text.splitlines()[-4].split() == ["30.015", "1.000000000000", "3"]
    assert text.splitlines()[-3:] == [
        "#[Mean    =       20.007, StdDeviation   =        8.167]",
        "#[Max     =       30.015, Total count    =            3]",
        "#[Buckets =           22, SubBuckets     =         2048]",
    ]


def test_text_without_answers_has_no_rows() -> None:
    text = percentile_text(None)
    assert len(lines(text)) == 1
    assert "Total count    =            0]" in text


def test_encoded_values_are_counted() -> None:
    assert total_count(None, "it") == 0
    assert total_count(hdr_v2(spans(1_000, 20 * MS, 20 * MS, 7_200_000 * MS)), "it") == 4
    rng = np.random.default_rng(5)
    assert total_count(hdr_v2(rng.integers(0, 10 * S, 3000)), "it") == 3000


def payload(counts: bytes = b"\x02", *, digits: int = 3, highest: int = 3_600_000_000) -> str:
    """Return a histogram whose counts are these varints."""
    inner = struct.pack(">IIIIQQd", 0x1C849313, len(counts), 0, digits, 1, highest, 1.0) + counts
    deflated = zlib.compress(inner)
    return base64.b64encode(struct.pack(">II", 0x1C849314, len(deflated)) + deflated).decode()


def test_hand_made_histogram_is_counted() -> None:
    assert total_count(payload(b"\x02\x03\x84\x01"), "it") == 1 + 66  # a 1, two zeros, a 66


@pytest.mark.parametrize(
    "encoded",
    [
        *("", "AAAA", "not base64!", payload(digits=5), payload(highest=2**62), payload(b"\x80"), payload(b"\xff" * 9)),
        payload(b"\xff\xff\xff\x7f"),  # about a hundred million zeros
        payload(b"\x02" * 300_000),  # more counts than it can have
        payload(bytes(10_000_000)),  # inflates to ten megabytes
    ],
)
def test_foreign_histogram_is_refused_by_name(encoded: str) -> None:
    with pytest.raises(RecordsIncomplete, match=r"^histograms\.response: "):
        total_count(encoded, "histograms.response")
