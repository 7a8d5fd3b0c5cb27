"""Types that the timeline and the worker lanes share: the part to draw, the area of a connection, the layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from coreserver.reports.timeline_rows import TimelineRow
from webapp.timeline.geometry import Span, end_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class View:
    """A span of the run's time and a range of rows or lanes; by default everything.

    Rows without a part in the span are not drawn. `first` is an index among all rows, including those, from 0.
    """

    from_s: float = 0.0
    to_s: float | None = None  # None: the run's end
    first: int = 0
    rows: int | None = None  # None: to the last one

    @property
    def is_part(self) -> bool:
        """Whether the view is limited to a span of time."""
        return self.from_s > 0 or self.to_s is not None

    def band(self, everything: Sequence[T]) -> list[tuple[int, T]]:
        """Return the items in the range, each with its place."""
        until = None if self.rows is None else self.first + self.rows
        return list(enumerate(everything[self.first : until], self.first))

    def holds(self, begin_s: float, end_s: float) -> bool:
        """Whether a part of this span is in the view."""
        return end_s >= self.from_s and (self.to_s is None or begin_s <= self.to_s)

    def has_row(self, row: TimelineRow, edge_s: float) -> bool:
        """Whether a part of the row is in the view."""
        return self.holds(row.due_s, max(row.due_s, end_of(row, edge_s)))


@dataclass(frozen=True, slots=True)
class HitArea:
    """The area of a connection: pixels from the top of the plot, and its span of time.

    `place` is the index of its row among all rows, or of its worker among all workers; `stands_for` is the number of
    connections it represents, including itself.
    """

    row: TimelineRow
    y: float
    span: Span
    place: int
    stands_for: int = 1


class Scene(Protocol):
    """The layout of a drawing, which can be painted at any width."""

    shown_s: Span  # the drawn span of time
    whole_s: float  # the end of the run, or now
    total: int  # number of all rows or workers
    remark: str  # what is not drawn

    @property
    def pitch(self) -> float:
        """Pixels from one line to the next."""

    def lines(self) -> list[tuple[float, int]]:
        """Return the distance of each line from the top of the plot, and the place of its row or worker."""

    def hit_areas(self) -> list[HitArea]:
        """Return the area of each connection; empty if there are too many to distinguish."""

    def paint(self, *, width: int, title: str, embedded: bool) -> str:
        """Return the `svg` element."""
