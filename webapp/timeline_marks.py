"""Where one connection's row has its diamond, its lines, its bar and its cross, in seconds of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coreserver.reports.timeline_rows import TimelineRow

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Marks:
    """A row's signs; None where it has none. `open_ended` marks go on past the edge of what is known."""

    arrival: float
    connecting: Span | None
    backlog: Span | None
    queue: Span | None
    served: Span | None
    failed_at: float | None
    open_ended: bool


def marks(row: TimelineRow, edge_s: float) -> Marks:
    """A row's signs; what has not ended is drawn up to `edge_s`: now, or the end of the run."""
    end = row.finished_s
    if end is None:
        end = edge_s if row.outcome is None and row.due_s <= edge_s else _last_known(row)
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


def horizon(rows: Sequence[TimelineRow], now_s: float | None) -> float:
    """The last instant that the picture has to show."""
    last = max((_last_known(row) for row in rows), default=0.0)
    return max(last, now_s or 0.0) or 1.0


def is_failed(row: TimelineRow) -> bool:
    """Ended otherwise than asked."""
    return row.outcome is not None and row.outcome != "completed"


def outcome_words(row: TimelineRow) -> str:
    """How a row ended, as a person reads it; under way without an outcome."""
    return "under way" if row.outcome is None else row.outcome.replace("_", " ")


def counted(number: int, what: str) -> str:
    """A number with its noun: 1 client, 1,000 clients."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def peak_served(rows: Sequence[TimelineRow], edge_s: float) -> int:
    """The most rows that are served at one instant."""
    spans = [served for row in rows if (served := marks(row, edge_s).served)]
    steps = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    peak = now = 0
    for _, step in steps:
        now += step
        peak = max(peak, now)
    return peak


def _last_known(row: TimelineRow) -> float:
    stamps = (row.finished_s, row.started_s, row.accepted_s, row.connected_s, row.due_s)
    return max(stamp for stamp in stamps if stamp is not None)


def _first(*stamps: float | None) -> float:
    return next(stamp for stamp in stamps if stamp is not None)


def _span(start: float | None, end: float) -> Span | None:
    return None if start is None else (start, max(start, end))
