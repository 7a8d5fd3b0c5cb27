"""The timeline of a run as SVG. Pure functions of its rows.

`draw` renders one row per client: a diamond at its arrival, a thin line while it waits (dashed in the backlog, solid in
the server's queue), a thick bar while it is served, a cross where it failed. `draw_lanes` renders one row per worker.

    up to 200 rows     one element per row, with a tooltip; names, workers and durations where they fit
    up to 2,000        rows so thin that the drawing fits on a screen; one path per phase
    more               each line represents several neighbours, and the drawing says so

A `View` selects a part of the time and of the rows. Fewer rows get more room, so a part of twenty thousand rows again
has one element per row.

A drawing scales with its box, including its text, so one drawing cannot fit both a desktop and a telephone. `width` is
the number of pixels of its layout; `paint_responsive` returns two layouts, and the stylesheet shows the one that fits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from coreserver.reports.timeline_rows import TimelineRow
from coreserver.reports.verdict.evidence import count_noun
from webapp.timeline.frame import MARGIN, SMALL, TEXT, Frame, document, empty, gutter, names, stage
from webapp.timeline.geometry import Span, end_of, horizon, is_failed, marks, outcome_words, peak_served
from webapp.timeline.glyphs import LINES_UP_TO, SINGLE_UP_TO, RowSize, draw_many, draw_single, legend_items, row_size
from webapp.timeline.svg import num, safe, shorten, text_width
from webapp.timeline.viewport import HitArea, Scene, View
from webapp.timeline.worker_lanes import LaneScene, draw_lanes

__all__ = [
    "RowScene",
    "TimelineRow",
    "draw",
    "draw_aligned",
    "draw_lanes",
    "join_widths",
    "make_scene",
    "paint_responsive",
]

WIDE, NARROW = 1040, 380  # pixels: the text column on a desktop, a telephone
GROUP_HEADING = 24.0
ALL = View()


def draw(
    rows: Sequence[TimelineRow],
    *,
    now_s: float | None = None,
    horizon_s: float | None = None,
    view: View = ALL,
    title: str,
    width: int = WIDE,
    embedded: bool = False,
) -> str:
    """Return the timeline of these rows, in their order, as one `svg` element.

    Args:
        now_s: the current time of a run in progress; connections that have not ended reach it, with an open end.
        horizon_s: minimum end of the time axis, so that several drawings can have the same axis.
        view: the part to draw.
        title: accessible name of the drawing; a file also shows it as its heading.
        width: pixels of the layout; the drawing scales to any width.
        embedded: for a page that links timeline.css; otherwise the file contains its styles and its background.
    """
    scene = RowScene(rows, now_s=now_s, horizon_s=horizon_s, view=view)
    return scene.paint(width=width, title=title, embedded=embedded)


def make_scene(
    rows: Sequence[TimelineRow],
    *,
    now_s: float | None = None,
    view: View = ALL,
    lanes: bool = False,
) -> Scene:
    """Return the layout of the timeline or of the worker lanes."""
    kind = LaneScene if lanes else RowScene
    return kind(rows, now_s=now_s, view=view)


def paint_responsive(scene: Scene, title: str) -> str:
    """Return a drawing at both widths; the stylesheet shows the one that fits."""
    return join_widths(*(scene.paint(width=width, title=title, embedded=True) for width in (WIDE, NARROW)))


def join_widths(wide: str, narrow: str) -> str:
    """Combine a wide and a narrow drawing into one element, for a page with timeline.css."""
    return f'<div class="timeline-set">{wide}{narrow}</div>'


def draw_aligned(several: Sequence[tuple[str, Sequence[TimelineRow]]]) -> list[str]:
    """Return one picture per (title, rows), for a page with timeline.css, all on the same time axis and margins."""
    until_s = max((horizon(rows, None) for _, rows in several), default=0.0)
    scenes = [(title, RowScene(rows, horizon_s=until_s)) for title, rows in several]
    return list(map(join_widths, _paint_aligned(scenes, WIDE), _paint_aligned(scenes, NARROW)))


def _paint_aligned(scenes: Sequence[tuple[str, RowScene]], width: int) -> list[str]:
    needed = [scene.margins(width) for _, scene in scenes]
    margins = max((left for left, _ in needed), default=0.0), max((right for _, right in needed), default=0.0)
    return [scene.paint(width=width, title=title, embedded=True, margins=margins) for title, scene in scenes]


@dataclass(frozen=True, slots=True)
class _Line:
    """A drawn row, its place among all rows, and the number of neighbours it represents, including itself."""

    row: TimelineRow
    place: int
    stands_for: int = 1


class RowScene:
    """Layout of the timeline, independent of the width."""

    def __init__(
        self,
        rows: Sequence[TimelineRow],
        *,
        now_s: float | None = None,
        horizon_s: float | None = None,
        view: View = ALL,
    ) -> None:
        self.total = len(rows)
        self._now_s = now_s
        self.whole_s = horizon(rows, now_s)
        edge = self.whole_s if now_s is None else now_s
        self.shown_s: Span = (view.from_s, view.to_s or max(self.whole_s, horizon_s or 0.0))
        in_order = rows if len(rows) <= LINES_UP_TO else sorted(rows, key=lambda row: row.due_s)
        there = [(place, row) for place, row in view.band(in_order) if not view.is_part or view.has_row(row, edge)]
        lines, each = _representatives(there, edge)
        self.remark = _remark(len(there), len(rows), each)
        self._lines = lines
        self._signs = [marks(line.row, edge) for line in lines]
        self._size = row_size(len(lines))
        self._offsets, self._headings, self._height = _places([line.row for line in lines], self._size)
        self._desc = _describe(rows, edge, under_way=now_s is not None)

    @property
    def pitch(self) -> float:
        """Pixels from one line to the next."""
        return self._size.pitch

    def lines(self) -> list[tuple[float, int]]:
        """Return the distance of each line from the top of the plot, and the place of its row."""
        return [(y, line.place) for line, y in zip(self._lines, self._offsets, strict=True)]

    def hit_areas(self) -> list[HitArea]:
        """Return the area of each connection, from its arrival to its end."""
        edge = self.whole_s if self._now_s is None else self._now_s
        return [
            HitArea(line.row, y, (line.row.due_s, end_of(line.row, edge)), line.place, line.stands_for)
            for line, y in zip(self._lines, self._offsets, strict=True)
        ]

    def margins(self, width: int) -> Span:
        """Return the pixels needed to the left and to the right of the plot."""
        rows = [line.row for line in self._lines]
        return gutter([row.name for row in rows], width), _room_at_right(rows, self._size)

    def paint(self, *, width: int, title: str, embedded: bool, margins: Span | None = None) -> str:
        """Return the `svg` element for a width; `margins` replace its own margins."""
        rows, size = [line.row for line in self._lines], self._size
        labels = [row.name for row in rows]
        left, right = margins or self.margins(width)
        frame, around = stage(
            width=width,
            left=left,
            right=width - right,
            height=self._height,
            shown_s=self.shown_s,
            now_s=self._now_s,
            items=legend_items(self._signs, self.shown_s[1] - self.shown_s[0]),
            remark=self.remark,
            title=None if embedded else title,
        )
        ys = [frame.top + y for y in self._offsets]
        if len(rows) <= SINGLE_UP_TO:
            drawn = "".join(
                draw_single(row, s, frame, y, size) for row, s, y in zip(rows, self._signs, ys, strict=True)
            )
        else:
            drawn = draw_many(list(zip(self._signs, ys, strict=True)), frame, size)
        body = around + _group_names(self._headings, frame) + names(labels, ys, frame) + drawn
        body = body if rows else body + empty("no clients in this part" if self.total else "no clients yet", frame)
        return document(body, frame, kind="rows", title=title, desc=self._desc, embedded=embedded)


def _representatives(rows: Sequence[tuple[int, TimelineRow]], edge: float) -> tuple[list[_Line], int]:
    """Return the rows to draw, and how many neighbours each represents.

    Of very many rows it selects from each group of neighbours the one with the median duration, because that is a real
    client and a mean is not. No failure is lost: if any of the neighbours failed, a failed one represents them.
    """
    if len(rows) <= LINES_UP_TO:
        return [_Line(row, place) for place, row in rows], 1
    each = -(-len(rows) // 1000)

    def took(at: tuple[int, TimelineRow]) -> float:
        row = at[1]
        return (edge if row.finished_s is None else row.finished_s) - row.due_s

    chosen = []
    for k in range(0, len(rows), each):
        some = rows[k : k + each]
        judged = sorted([at for at in some if is_failed(at[1])] or some, key=took)
        place, row = judged[len(judged) // 2]
        chosen.append(_Line(row, place, len(some)))
    return chosen, each


def _remark(there: int, total: int, each: int) -> str:
    """Return a sentence about the rows that are not drawn; empty if all of them are."""
    said = [] if there == total else [f"{there:,} of {count_noun(total, 'client')}."]
    if each > 1:
        said.append(
            f"{there:,} clients: each line represents {each} neighbours in order of arrival and shows the one with the "
            "median duration, or the failed one with the median duration if some failed."
        )
    return " ".join(said)


def _places(lines: Sequence[TimelineRow], size: RowSize) -> tuple[list[float], list[tuple[float, str]], float]:
    """Return the distance of every row from the top of the plot, the group headings, and the height of the plot.

    There are headings if several groups follow one another and all rows show their names.
    """
    turns = [line.group for k, line in enumerate(lines) if k == 0 or lines[k - 1].group != line.group]
    headed = size.named and 1 < len(turns) == len(set(turns))
    y, offsets, headings, group = 4.0, [], [], None
    for row in lines:
        if headed and row.group != group:
            group = row.group
            headings.append((y + GROUP_HEADING - 7, group))
            y += GROUP_HEADING
        offsets.append(y + size.pitch / 2)
        y += size.pitch
    return offsets, headings, max(y + 4.0, 40.0)


def _group_names(headings: Sequence[tuple[float, str]], frame: Frame) -> str:
    room = frame.width - 2 * MARGIN
    return "".join(
        f'<text class="tl-group" x="{num(MARGIN)}" y="{num(frame.top + y)}">{safe(shorten(name, SMALL, room))}</text>'
        for y, name in headings
    )


def _room_at_right(lines: Sequence[TimelineRow], size: RowSize) -> float:
    """Return the room for the longest text to the right of a cross."""
    words = [outcome_words(row) for row in lines if is_failed(row)] if size.named else []
    return 20.0 + max((text_width(word, TEXT) + 8.0 for word in words), default=0.0)


def _describe(rows: Sequence[TimelineRow], edge: float, *, under_way: bool) -> str:
    """Return the content of the drawing in a sentence, for screen readers."""
    if not rows:
        return "No clients yet."
    outcomes = Counter(outcome_words(row) for row in rows)
    counts = ", ".join(f"{count:,} {words}" for words, count in outcomes.items())
    span = f"so far, at {edge:.2f} s" if under_way else f"over {edge:.2f} s"
    return f"{count_noun(len(rows), 'client')} {span}: {counts}. At most {peak_served(rows, edge):,} served at once."
