"""The parts of each connection's time as a table: the text version of the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coreserver.reports.timeline_rows import TimelineRow
from coreserver.reports.vocabulary import span_named, spans_of
from webapp import formatting
from webapp.timeline.explorer import part_ms
from webapp.timeline.geometry import outcome_words

MAX_ROWS = 200
PARTS = {span.name: span.label for span in (span_named("lateness_ms"), *spans_of("waits"))}


@dataclass(frozen=True)
class PartsRow:
    """Table row of one connection."""

    name: str
    group: str
    due: str
    parts: tuple[str, ...]
    worker: str
    outcome: str


@dataclass(frozen=True)
class PartsTable:
    """The first MAX_ROWS connections of a run; `left_out` is the number of others, `address` the URL of all."""

    parts: tuple[str, ...]
    rows: tuple[PartsRow, ...]
    left_out: str
    address: str


def parts_table(rows: Sequence[TimelineRow], run_id: int) -> PartsTable | None:
    """Return the table of an ended run; None if it has no records of connections."""
    if not rows:
        return None
    more = len(rows) - MAX_ROWS
    return PartsTable(
        parts=tuple(PARTS.values()),
        rows=tuple(_row(row) for row in rows[:MAX_ROWS]),
        left_out=formatting.count(more) if more > 0 else "",
        address=f"/api/v1/runs/{run_id}/connections",
    )


def _row(row: TimelineRow) -> PartsRow:
    parts = tuple(formatting.ms(span) for span in part_ms(row))
    due = formatting.seconds(row.due_s)
    return PartsRow(row.name, row.group, due, parts, row.worker or formatting.NONE, outcome_words(row))
