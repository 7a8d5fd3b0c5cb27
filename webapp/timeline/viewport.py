"""Which part of a picture is wanted, and which connection is where in it: what the timeline and the lanes share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from coreserver.reports.timeline_rows import TimelineRow
from webapp.timeline.geometry import Span, end_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class View:
    """A span of the run's time and a band of the picture's rows or lanes; by default all of both.

    Rows that are not there in the span are left out of the picture; `first` counts them all the same, from 0.
    """

    from_s: float = 0.0
    to_s: float | None = None  # None: the run's end
    first: int = 0
    rows: int | None = None  # None: to the last one

    @property
    def is_part(self) -> bool:
        """Whether a span of time was asked for."""
        return self.from_s > 0 or self.to_s is not None

    def band(self, everything: Sequence[T]) -> list[tuple[int, T]]:
        """What of everything is in the band, each with its place."""
        until = None if self.rows is None else self.first + self.rows
        return list(enumerate(everything[self.first : until], self.first))

    def holds(self, begin_s: float, end_s: float) -> bool:
        """Whether anything of this span of time is wanted."""
        return end_s >= self.from_s and (self.to_s is None or begin_s <= self.to_s)

    def has_row(self, row: TimelineRow, edge_s: float) -> bool:
        """Whether its client was there in the time that is wanted."""
        return self.holds(row.due_s, max(row.due_s, end_of(row, edge_s)))


@dataclass(frozen=True, slots=True)
class HitArea:
    """One connection's place: how many pixels below the plot's top, and over which span of time.

    `place` is that of its row among all rows, or of its worker among all workers; `stands_for` counts it and those
    neighbours that are not drawn.
    """

    row: TimelineRow
    y: float
    span: Span
    place: int
    stands_for: int = 1


class Scene(Protocol):
    """A picture that is worked out and can be painted at any width."""

    shown_s: Span  # the span of time that it shows
    whole_s: float  # when the run ends, or up to where it is known
    total: int  # rows, or workers, in all
    remark: str  # what it leaves out

    @property
    def pitch(self) -> float:
        """Pixels from a line to the next."""

    def lines(self) -> list[tuple[float, int]]:
        """How far down each line is, and the place of its row or worker."""

    def hit_areas(self) -> list[HitArea]:
        """Where each connection is; none where they are too many to be told apart."""

    def paint(self, *, width: int, title: str, embedded: bool) -> str:
        """The `svg` element."""
