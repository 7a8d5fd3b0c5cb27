"""Positions of a connection's marks (diamond, lines, bar, cross) in seconds of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coreserver.reports.timeline_rows import TimelineRow

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of a row; None for a mark that it does not have. `open_ended`: the connection has not ended."""

    arrival: float
    connecting: Span | None
    backlog: Span | None
    queue: Span | None
    served: Span | None
    failed_at: float | None
    open_ended: bool


def marks(row: TimelineRow, edge_s: float) -> Marks:
    """Return the marks of a row. A connection that has not ended reaches `edge_s`: now, or the end of the run."""
    end = end_of(row, edge_s)
    failed = row.outcome is not None and row.outcome != "completed"
    return Marks(
        arrival=row.due_s,
        connecting=_span(row.due_s, _first(row.connected_s, row.accepted_s, row.started_s, end)),
        backlog=_span(row.connected_s, _first(row.accepted_s, row.started_s, end)),
        queue=_span(row.accepted_s, _first(row.started_s, end)),
        served=_span(row.started_s, end),
        failed_at=end if failed else None,
        open_ended=row.finished_s is None and row.outcome is None,
    )


def end_of(row: TimelineRow, edge_s: float) -> float:
    """Return the instant up to which a row is drawn.

    It is the end of the connection; or `edge_s` if it has not ended; or its last known stamp if its end is unknown.
    """
    if row.finished_s is not None:
        return row.finished_s
    return edge_s if row.outcome is None and row.due_s <= edge_s else _last_known(row)


def horizon(rows: Sequence[TimelineRow], now_s: float | None) -> float:
    """Return the last instant that the drawing must show."""
    last = max((_last_known(row) for row in rows), default=0.0)
    return max(last, now_s or 0.0, 0.0) or 1.0  # an axis needs a length


def is_failed(row: TimelineRow) -> bool:
    """Whether the connection ended with an outcome other than completed."""
    return row.outcome is not None and row.outcome != "completed"


def outcome_words(row: TimelineRow) -> str:
    """Return the outcome as text; `in progress` if there is none."""
    return "in progress" if row.outcome is None else row.outcome.replace("_", " ")


def peak_served(rows: Sequence[TimelineRow], edge_s: float) -> int:
    """Return the largest number of rows that are served at the same time."""
    starts = sorted(row.started_s for row in rows if row.started_s is not None)
    ends = sorted(max(row.started_s, end_of(row, edge_s)) for row in rows if row.started_s is not None)
    peak = ended = 0
    for begun, start in enumerate(starts, 1):
        while ended < len(ends) and ends[ended] <= start:  # services that touch do not overlap
            ended += 1
        peak = max(peak, begun - ended)
    return peak


def _last_known(row: TimelineRow) -> float:
    last = row.due_s
    for stamp in (row.connected_s, row.accepted_s, row.started_s, row.finished_s):
        if stamp is not None and stamp > last:
            last = stamp
    return last


def _first(*stamps: float | None) -> float:
    return next(stamp for stamp in stamps if stamp is not None)


def _span(start: float | None, end: float) -> Span | None:
    return None if start is None else (start, max(start, end))
