"""The article's picture: records to SVG, by pure functions.

`draw` has a row a client: a diamond at its arrival, a thin line while it waits (dashed in the kernel's accept queue,
solid in the server's own), a thick bar while it is served, a cross where it failed. `draw_lanes` has a row a worker.

    up to 200 rows     every row by itself, with a tooltip; names, workers and durations as far as there is room
    up to 2,000        rows so thin that the picture stays on a screen; a path a phase
    beyond             each line stands for some neighbours, and the picture says so

A drawing scales with its box, and its text too, so one drawing cannot serve a desk and a telephone: `width` is the
number of pixels it is laid out for, and `draw_responsive` gives two, of which the stylesheet shows the right one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from coreserver.reports.timeline_rows import TimelineRow
from webapp.svg import num, safe, shortened, text_width
from webapp.timeline_frame import AXIS_HEIGHT, MARGIN, SMALL, TEXT, Frame, document, empty, gutter, names, stage
from webapp.timeline_lanes import draw_lanes
from webapp.timeline_marks import counted, horizon, is_failed, marks, outcome_words, peak_served
from webapp.timeline_signs import LINES_UP_TO, SINGLE_UP_TO, RowSize, draw_many, draw_single, legend_items, row_size

__all__ = ["TimelineRow", "draw", "draw_lanes", "draw_responsive"]

WIDE, NARROW = 1040, 380  # pixels: a desk's column of text, a telephone
GROUP_HEADING = 24.0


def draw(
    rows: Sequence[TimelineRow],
    *,
    now_s: float | None = None,
    horizon_s: float | None = None,
    title: str,
    width: int = WIDE,
    embedded: bool = False,
) -> str:
    """The timeline of these rows, in their order, as one `svg` element.

    Args:
        now_s: of a run under way: what has not ended is drawn up to here, with an open end.
        horizon_s: where the axis ends at the earliest, so that several pictures can share theirs.
        title: the picture's name for those who cannot see it; a file of its own also shows it.
        width: the pixels it is laid out for; it scales to any.
        embedded: for a page that links timeline.css; without it the file brings its own style and paper.
    """
    end = horizon(rows, now_s)
    edge = end if now_s is None else now_s
    end = max(end, horizon_s or 0.0)
    lines, remark = _middle_ones(rows, edge)
    signs = [marks(row, edge) for row in lines]
    size = row_size(len(lines))
    offsets, headings, height = _places(lines, size)
    frame, around = stage(
        width=width,
        left=gutter([row.name for row in lines], width),
        right=width - _room_at_right(lines, size),
        height=height,
        horizon_s=end,
        now_s=now_s,
        items=legend_items(signs, end),
        remark=remark,
        title=None if embedded else title,
    )
    ys = [frame.top + y for y in offsets]
    if len(lines) <= SINGLE_UP_TO:
        drawn = "".join(draw_single(row, s, frame, y, size) for row, s, y in zip(lines, signs, ys, strict=True))
    else:
        drawn = draw_many(list(zip(signs, ys, strict=True)), frame, size)
    body = around + _group_names(headings, frame) + names([row.name for row in lines], ys, frame) + drawn
    body = body if rows else body + empty("no client yet", frame)
    desc = _describe(rows, edge, under_way=now_s is not None)
    height = frame.bottom + AXIS_HEIGHT
    return document(body, kind="rows", width=width, height=height, title=title, desc=desc, embedded=embedded)


def draw_responsive(
    rows: Sequence[TimelineRow],
    *,
    now_s: float | None = None,
    horizon_s: float | None = None,
    title: str,
    lanes: bool = False,
) -> str:
    """The timeline, or the worker lanes, twice: for a wide and for a narrow screen, for a page with timeline.css."""
    one = draw_lanes if lanes else draw
    wide, narrow = (
        one(rows, now_s=now_s, horizon_s=horizon_s, title=title, width=width, embedded=True) for width in (WIDE, NARROW)
    )
    return f'<div class="timeline-set">{wide}{narrow}</div>'


def _middle_ones(rows: Sequence[TimelineRow], edge: float) -> tuple[Sequence[TimelineRow], str]:
    """The rows themselves; or, of very many, the middle one of every few neighbours, and a remark that says so.

    The middle one by the time it took is a real client, where a mean would be nobody. A failure is never lost by it:
    where any of the neighbours failed, a failed one stands for them.
    """
    if len(rows) <= LINES_UP_TO:
        return rows, ""
    each = -(-len(rows) // 1000)
    in_order = sorted(rows, key=lambda row: row.due_s)

    def took(row: TimelineRow) -> float:
        return (edge if row.finished_s is None else row.finished_s) - row.due_s

    chosen = []
    for k in range(0, len(in_order), each):
        some = in_order[k : k + each]
        some = sorted([row for row in some if is_failed(row)] or some, key=took)
        chosen.append(some[len(some) // 2])
    remark = (
        f"{len(rows):,} clients: a line stands for {each} neighbours in order of arrival and shows the one in the "
        "middle by its time, among those that failed if any did."
    )
    return chosen, remark


def _places(lines: Sequence[TimelineRow], size: RowSize) -> tuple[list[float], list[tuple[float, str]], float]:
    """Every row's distance from the plot's top, the group headings' with their words, and the plot's height.

    Groups have headings where there are several and rows have their names; else they follow one another.
    """
    headed = size.named and len({row.group for row in lines}) > 1
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
        f'<text class="tl-group" x="{num(MARGIN)}" y="{num(frame.top + y)}">{safe(shortened(name, SMALL, room))}</text>'
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
    return f"{counted(len(rows), 'client')} {span}: {counts}. At most {peak_served(rows, edge):,} served at once."
