"""The article's picture: records to SVG, by pure functions.

`draw` has a row a client: a diamond at its arrival, a thin line while it waits (dashed in the kernel's accept queue,
solid in the server's own), a thick bar while it is served, a cross where it failed. `draw_lanes` has a row a worker.

    up to 200 rows     every row by itself, with a tooltip; names, workers and durations as far as there is room
    up to 2,000        rows so thin that the picture stays on a screen; a path a phase
    beyond             each line stands for some neighbours, and the picture says so

A `View` asks for a part: some of the time, some of the rows. Fewer rows have more room, so a part of twenty thousand
has single rows again.

A drawing scales with its box, and its text too, so one drawing cannot serve a desk and a telephone: `width` is the
number of pixels it is laid out for, and `paint_responsive` gives two, of which the stylesheet shows the right one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from coreserver.reports.timeline_rows import TimelineRow
from webapp.timeline.frame import MARGIN, SMALL, TEXT, Frame, document, empty, gutter, names, stage
from webapp.timeline.geometry import Span, count_of, end_of, horizon, is_failed, marks, outcome_words, peak_served
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

WIDE, NARROW = 1040, 380  # pixels: a desk's column of text, a telephone
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
    """The timeline of these rows, in their order, as one `svg` element.

    Args:
        now_s: of a run under way: what has not ended is drawn up to here, with an open end.
        horizon_s: where the axis ends at the earliest, so that several pictures can share theirs.
        view: the part that is wanted.
        title: the picture's name for those who cannot see it; a file of its own also shows it.
        width: the pixels it is laid out for; it scales to any.
        embedded: for a page that links timeline.css; without it the file brings its own style and paper.
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
    """The timeline or the worker lanes, worked out and ready to be painted."""
    kind = LaneScene if lanes else RowScene
    return kind(rows, now_s=now_s, view=view)


def paint_responsive(scene: Scene, title: str) -> str:
    """A picture at both widths, of which the stylesheet shows the one that fits."""
    return join_widths(*(scene.paint(width=width, title=title, embedded=True) for width in (WIDE, NARROW)))


def join_widths(wide: str, narrow: str) -> str:
    """Two drawings of the same, one for a desk and one for a telephone, for a page with timeline.css."""
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
    """A row that is drawn, its place among all rows, and how many neighbours it stands for, itself included."""

    row: TimelineRow
    place: int
    stands_for: int = 1


class RowScene:
    """The timeline, worked out once for every width."""

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
        """Pixels from a line to the next."""
        return self._size.pitch

    def lines(self) -> list[tuple[float, int]]:
        """How far down each line is, and the place of its row."""
        return [(y, line.place) for line, y in zip(self._lines, self._offsets, strict=True)]

    def hit_areas(self) -> list[HitArea]:
        """Where each connection is, from its arrival to its end."""
        edge = self.whole_s if self._now_s is None else self._now_s
        return [
            HitArea(line.row, y, (line.row.due_s, end_of(line.row, edge)), line.place, line.stands_for)
            for line, y in zip(self._lines, self._offsets, strict=True)
        ]

    def margins(self, width: int) -> Span:
        """The pixels that it needs to the left and to the right of the plot."""
        rows = [line.row for line in self._lines]
        return gutter([row.name for row in rows], width), _room_at_right(rows, self._size)

    def paint(self, *, width: int, title: str, embedded: bool, margins: Span | None = None) -> str:
        """The `svg` element, laid out for a width; `margins` where others than its own are wanted."""
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
        body = body if rows else body + empty("no client here" if self.total else "no client yet", frame)
        return document(body, frame, kind="rows", title=title, desc=self._desc, embedded=embedded)


def _representatives(rows: Sequence[tuple[int, TimelineRow]], edge: float) -> tuple[list[_Line], int]:
    """The rows themselves; or, of very many, the middle one of every few neighbours; and how many those few are.

    The middle one by the time it took is a real client, where a mean would be nobody. A failure is never lost by it:
    where any of the neighbours failed, a failed one stands for them.
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
    """What of all the rows is drawn; nothing where all of them are."""
    said = [] if there == total else [f"{there:,} of {count_of(total, 'client')}."]
    if each > 1:
        said.append(
            f"{there:,} clients: a line stands for {each} neighbours in order of arrival and shows the one in the "
            "middle by its time, among those that failed if any did."
        )
    return " ".join(said)


def _places(lines: Sequence[TimelineRow], size: RowSize) -> tuple[list[float], list[tuple[float, str]], float]:
    """Every row's distance from the plot's top, the group headings' with their words, and the plot's height.

    Groups have headings where there are several that follow one another and rows have their names.
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
    """Enough for the longest word that stands behind a cross."""
    words = [outcome_words(row) for row in lines if is_failed(row)] if size.named else []
    return 20.0 + max((text_width(word, TEXT) + 8.0 for word in words), default=0.0)


def _describe(rows: Sequence[TimelineRow], edge: float, *, under_way: bool) -> str:
    """The picture in a sentence, for those who cannot see it."""
    if not rows:
        return "No client yet."
    outcomes = Counter(outcome_words(row) for row in rows)
    counts = ", ".join(f"{count:,} {words}" for words, count in outcomes.items())
    span = f"so far, at {edge:.2f} s" if under_way else f"over {edge:.2f} s"
    return f"{count_of(len(rows), 'client')} {span}: {counts}. At most {peak_served(rows, edge):,} served at once."
