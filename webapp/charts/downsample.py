"""The series of a report in fewer and longer steps, so that charts of long runs stay readable and small."""

from __future__ import annotations

from typing import Any

from coreserver.reports.schema.report import Report

MAX_STEPS = 120  # one point every few pixels
SUMMED = ("messages_due", "messages_answered")


def downsample(report: Report, max_steps: int = MAX_STEPS) -> tuple[float, list[dict[str, Any]]]:
    """Return the length of a step in seconds, and the steps by the names of the columns, each with its `length_s`.

    The last step may be shorter. Counts of messages are added up; of all other columns each step has the maximum, so
    that no peak is lost. A value is None if nothing was measured within the step.
    """
    series = report.series
    columns, rows = series.columns, series.rows
    each = max(1, -(-len(rows) // max_steps))
    interval_s = series.interval_s
    parts = (rows[k : k + each] for k in range(0, len(rows), each))
    return each * interval_s, [{**_merge(columns, part), "length_s": len(part) * interval_s} for part in parts]


def _merge(columns: list[str], rows: list[list[Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name, values in zip(columns, zip(*rows, strict=True), strict=True):
        known = [value for value in values if value is not None]
        merged[name] = (sum(known) if name in SUMMED else max(known)) if known else None
    merged["t_s"] = rows[0][columns.index("t_s")]
    return merged
