"""A report's series in fewer and longer steps, so that a chart of a long run stays readable and small."""

from __future__ import annotations

from typing import Any

from coreserver.reports.schema import Report

MAX_STEPS = 120  # steps: a point every few pixels
SUMMED = ("messages_due", "messages_answered")


def steps(report: Report, most: int = MAX_STEPS) -> tuple[float, list[dict[str, Any]]]:
    """How long a step is, in seconds, and the rows by the names of the series' columns, each with its `length_s`.

    The last step may be shorter. Counts of messages are added up. Of all else each step has the highest value, so that
    no peak is lost; None where nothing was measured within the step.
    """
    series = report.series
    columns, rows = series.columns, series.rows
    each = max(1, -(-len(rows) // most))
    interval_s = series.interval_s
    parts = (rows[k : k + each] for k in range(0, len(rows), each))
    return each * interval_s, [{**_merged(columns, part), "length_s": len(part) * interval_s} for part in parts]


def _merged(columns: list[str], rows: list[list[Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name, values in zip(columns, zip(*rows, strict=True), strict=True):
        known = [value for value in values if value is not None]
        merged[name] = (sum(known) if name in SUMMED else max(known)) if known else None
    merged["t_s"] = rows[0][columns.index("t_s")]
    return merged
