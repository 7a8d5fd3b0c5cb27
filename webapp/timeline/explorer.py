"""A part of the timeline or of the worker lanes for the explorer: the drawing, and the areas of its connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coreserver.clock import milliseconds
from coreserver.reports.timeline_rows import TimelineRow
from coreserver.reports.timing import parts
from webapp.problems import FieldError, Invalid
from webapp.schemas.timeline_part import TimelinePicture, TimelineQuery
from webapp.timeline.drawing import make_scene, paint_responsive
from webapp.timeline.viewport import HitArea, Scene, View

PARTS = ("lateness", "connect", "backlog", "queue", "greeting", "session")
COLUMNS = (
    "y", "from_s", "to_s", "place", "stands_for", "name", "group", "due_s", *(f"{part}_ms" for part in PARTS),
    "worker", "outcome",
)  # fmt: skip


def picture(
    rows: Sequence[TimelineRow], now_s: float | None, query: TimelineQuery, *, lanes: bool, title: str
) -> TimelinePicture:
    """Return a part of the timeline or of the worker lanes; Invalid if it is outside of the run."""
    scene = select_part(rows, now_s, query, lanes=lanes)
    until = scene.total if query.rows is None else min(scene.total, query.first + query.rows)
    return TimelinePicture(
        of="lanes" if lanes else "rows",
        from_s=scene.shown_s[0],
        to_s=scene.shown_s[1],
        whole_s=scene.whole_s,
        first=query.first,
        rows=until - query.first,
        total=scene.total,
        remark=scene.remark,
        pitch=scene.pitch,
        lines=scene.lines(),
        columns=list(COLUMNS),
        connections=[_entry(area) for area in scene.hit_areas()],
        drawing=paint_responsive(scene, title),
    )


def select_part(rows: Sequence[TimelineRow], now_s: float | None, query: TimelineQuery, *, lanes: bool) -> Scene:
    """Return the layout of a part; Invalid if it is outside of the run."""
    scene = make_scene(rows, now_s=now_s, view=View(query.from_s, query.to_s, query.first, query.rows), lanes=lanes)
    if query.first and query.first >= scene.total:
        raise _beyond("first", f"must be less than {scene.total}, the number of rows")
    if query.from_s and query.from_s >= scene.whole_s:
        raise _beyond("from_s", f"must be less than {scene.whole_s:g} s, the duration of the run")
    return scene


def part_ms(row: TimelineRow) -> list[float | None]:
    """Return the parts of a connection's time in the order of PARTS; None for a part that it did not reach."""
    if row.connection is None:
        return [None] * len(PARTS)
    found = parts(row.connection)
    spans = [getattr(found, part) for part in PARTS]
    return [None if span is None else milliseconds(span) for span in spans]


def _entry(area: HitArea) -> list[Any]:
    row = area.row
    begin, end = (round(at, 6) for at in area.span)
    place = [round(area.y, 2), begin, end, area.place, area.stands_for]
    return [*place, row.name, row.group, row.due_s, *part_ms(row), row.worker, row.outcome]


def _beyond(field: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", errors=[FieldError(field, message)])
