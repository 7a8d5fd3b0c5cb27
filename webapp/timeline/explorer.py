"""A part of the timeline or the lanes as a page explores it: the drawing, and which connection is where in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from coreserver.clock import milliseconds
from coreserver.config.base import FrozenSettings
from coreserver.reports.timeline_rows import TimelineRow
from coreserver.reports.timing import parts
from webapp.problems import FieldError, Invalid
from webapp.schemas.answer import Answer
from webapp.timeline.drawing import responsive, scene_of
from webapp.timeline.viewport import HitArea, Scene, View

SHORTEST_S = 1e-4  # of a view: a tenth of a millisecond across the screen
PARTS = ("lateness", "connect", "backlog", "queue", "greeting", "session")
COLUMNS = (
    "y", "from_s", "to_s", "place", "stands_for", "name", "group", "due_s", *(f"{part}_ms" for part in PARTS),
    "worker", "outcome",
)  # fmt: skip


class TimelineQuery(FrozenSettings):
    """The part of a picture that is wanted; by default all of it."""

    model_config = ConfigDict(strict=False)  # a query string has text only

    from_s: float = Field(default=0.0, ge=0, le=1e6, description="where the axis begins, seconds of the run")
    to_s: float | None = Field(default=None, gt=0, le=1e6, description="where it ends; left out: the run's end")
    first: int = Field(default=0, ge=0, lt=2**31, description="the first row, or lane, counted from 0")
    rows: int | None = Field(default=None, ge=1, lt=2**31, description="rows, or lanes; left out: to the last one")

    @field_validator("to_s")
    @classmethod
    def _ends_after_its_beginning(cls, to_s: float | None, info: ValidationInfo) -> float | None:
        if to_s is not None and to_s < info.data.get("from_s", 0.0) + SHORTEST_S:
            raise ValueError(f"must be at least {SHORTEST_S:g} s after from_s")
        return to_s

    def view(self) -> View:
        """The same for those who draw."""
        return View(self.from_s, self.to_s, self.first, self.rows)


WHOLE = TimelineQuery()


class TimelinePicture(Answer):
    """A part of a picture and what can be read in it; seconds from the run's start."""

    of: Literal["rows", "lanes"] = Field(description="a row a client, or a lane a worker")
    from_s: float = Field(description="where the axis begins")
    to_s: float = Field(description="where it ends")
    whole_s: float = Field(description="the end of the run, or how far it is")
    first: int = Field(description="the first row or lane of the band that was asked for")
    rows: int = Field(description="how many rows or lanes the band has")
    total: int = Field(description="rows, or lanes, in all")
    remark: str = Field(description="what is not drawn, in words")
    pitch: float = Field(description="pixels from a line to the next")
    lines: list[tuple[float, int]] = Field(
        description="each line's distance from the plot's top, and the number of its row or lane"
    )
    columns: list[str] = Field(description="of `connections`")
    connections: list[list[Any]] = Field(
        description="where each connection is, its parts in milliseconds, null where it did not come so far; "
        "empty where they are too many to be told apart"
    )
    drawing: str = Field(description="the drawing for a wide and for a narrow screen, as markup")


def picture(
    rows: Sequence[TimelineRow], now_s: float | None, query: TimelineQuery, *, lanes: bool, title: str
) -> TimelinePicture:
    """The part of the timeline, or of the lanes, that is asked for; Invalid where no such part is."""
    scene = part_of(rows, now_s, query, lanes=lanes)
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
        connections=[_entry(spot) for spot in scene.spots()],
        drawing=responsive(scene, title),
    )


def part_of(rows: Sequence[TimelineRow], now_s: float | None, query: TimelineQuery, *, lanes: bool) -> Scene:
    """The part that is asked for, ready to be painted; Invalid where no such part is."""
    scene = scene_of(rows, now_s=now_s, view=query.view(), lanes=lanes)
    if query.first and query.first >= scene.total:
        raise _beyond("first", f"must be below {scene.total}, which is how many there are")
    if query.from_s and query.from_s >= scene.whole_s:
        raise _beyond("from_s", f"must be less than the run's {scene.whole_s:g} s")
    return scene


def part_ms(row: TimelineRow) -> list[float | None]:
    """The six parts of a connection's time in the order of PARTS; None where it did not come so far."""
    if row.connection is None:
        return [None] * len(PARTS)
    found = parts(row.connection)
    spans = [getattr(found, part) for part in PARTS]
    return [None if span is None else milliseconds(span) for span in spans]


def _entry(spot: HitArea) -> list[Any]:
    row = spot.row
    begin, end = (round(at, 6) for at in spot.span)
    place = [round(spot.y, 2), begin, end, spot.place, spot.stands_for]
    return [*place, row.name, row.group, row.due_s, *part_ms(row), row.worker, row.outcome]


def _beyond(field: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", errors=[FieldError(field, message)])
