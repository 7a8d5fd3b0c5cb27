"""The worker lanes as SVG: one lane per worker, with a bar for each connection it served.

The lane of a worker that serves several connections at a time, such as an event loop, has several levels. Their number
is limited, and the drawing says how many connections are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from coreserver.reports.timeline_rows import TimelineRow
from coreserver.reports.verdict.evidence import count_noun
from webapp.timeline.frame import SMALL, Frame, LegendItem, document, gutter, names, stage
from webapp.timeline.geometry import Span, end_of, horizon, marks
from webapp.timeline.glyphs import (
    LINES_UP_TO,
    SINGLE_UP_TO,
    RowSize,
    bar,
    cross_on_bar,
    draw_many_bars,
    row_size,
    tooltip,
)
from webapp.timeline.stacking import levels_of
from webapp.timeline.svg import num, safe, text_width
from webapp.timeline.viewport import HitArea, View

MAX_LEVELS = 96  # levels of all lanes, if workers serve several connections at a time; more do not fit on a screen
MAX_SINGLE_BARS = 400  # up to this number, each bar is one element
TOP_GAP = 4.0
BLOCK_GAP = 0.4  # of the height of a level, between lanes if any of them has several levels


class Served(NamedTuple):
    """A connection that a worker served, and its span of service."""

    row: TimelineRow
    span: Span


@dataclass(frozen=True, slots=True)
class StackedLane:
    """The lane of one worker: each level has connections that do not overlap, in order of service.

    A worker that serves one connection at a time has one level. `hidden` is the number of connections without a level.
    """

    levels: list[list[Served]]
    hidden: int


def draw_lanes(
    rows: Sequence[TimelineRow],
    *,
    now_s: float | None = None,
    horizon_s: float | None = None,
    view: View | None = None,
    title: str,
    width: int = 1040,
    embedded: bool = False,
) -> str:
    """Return the lanes of all workers as one `svg` element; the arguments are those of `draw`.

    Clients that no worker served are not drawn; the description has their number.
    """
    scene = LaneScene(rows, now_s=now_s, horizon_s=horizon_s, view=view or View())
    return scene.paint(width=width, title=title, embedded=embedded)


class LaneScene:
    """Layout of the worker lanes, independent of the width."""

    def __init__(
        self, rows: Sequence[TimelineRow], *, now_s: float | None, horizon_s: float | None = None, view: View
    ) -> None:
        self._now_s = now_s
        self.whole_s = horizon(rows, now_s)
        edge = self.whole_s if now_s is None else now_s
        self.shown_s: Span = (view.from_s, view.to_s or max(self.whole_s, horizon_s or 0.0))
        of_worker = _by_worker(rows)
        self.total = len(of_worker)
        band = dict(worker for _, worker in view.band(list(of_worker.items())))
        self._first = view.first
        lanes = {worker: _stack(served, _max_levels(band), edge, view) for worker, served in band.items()}
        self._lanes, self._each, self.remark = _limit_lanes(lanes)
        if len(band) < self.total:
            self.remark = f"{len(band):,} of {count_noun(self.total, 'worker')}. {self.remark}".strip()
        levels = sum(len(lane.levels) for lane in self._lanes.values())
        self._size = row_size(levels)
        self._blocks, self._height = _places(self._lanes, self._size)
        self._is_single = levels <= SINGLE_UP_TO and sum(map(len, self._levels())) <= MAX_SINGLE_BARS
        self._desc = _describe(rows, of_worker)

    @property
    def pitch(self) -> float:
        """Pixels from one level to the next."""
        return self._size.pitch

    def lines(self) -> list[tuple[float, int]]:
        """Return the distance of each level from the top of the plot, and the place of its worker."""
        return [(TOP_GAP + y, self._first + self._each * lane) for lane, ys in enumerate(self._blocks) for y in ys]

    def hit_areas(self) -> list[HitArea]:
        """Return the area of each connection while it is served; empty if there are too many to distinguish."""
        if sum(map(len, self._levels())) > LINES_UP_TO:
            return []
        return [
            HitArea(served.row, y, served.span, place)
            for level, (y, place) in zip(self._levels(), self.lines(), strict=True)
            for served in level
        ]

    def paint(self, *, width: int, title: str, embedded: bool) -> str:
        """Return the `svg` element for a width."""
        frame, around = stage(
            width=width,
            left=gutter(list(self._lanes), width),
            right=width - 20.0,
            height=2 * TOP_GAP + max(self._height, 32.0),
            shown_s=self.shown_s,
            now_s=self._now_s,
            items=[LegendItem(f'<path class="tl-served" d="{bar(0, 26, 0, 13)}"/>', "service")],
            remark=self.remark,
            title=None if embedded else title,
        )
        size = self._size
        placed = [(level, frame.top + y) for level, (y, _) in zip(self._levels(), self.lines(), strict=True)]
        if self._is_single:
            edge = self.whole_s if self._now_s is None else self._now_s
            drawn = "".join(_bar(served, edge, frame, y, size) for level, y in placed for served in level)
        else:
            drawn = draw_many_bars([(span, y) for level, y in placed for span in _merge(level, frame)], frame, size)
        middles = [frame.top + TOP_GAP + ((ys[0] + ys[-1]) / 2 if ys else 0.0) for ys in self._blocks]
        body = around + names(list(self._lanes), middles, frame) + drawn
        return document(body, frame, kind="lanes", title=title, desc=self._desc, embedded=embedded)

    def _levels(self) -> list[list[Served]]:
        return [level for lane in self._lanes.values() for level in lane.levels]


def _by_worker(rows: Sequence[TimelineRow]) -> dict[str, list[TimelineRow]]:
    """Return the rows of each worker in order of service; worker-2 comes before worker-10."""
    of_worker: dict[str, list[TimelineRow]] = {}
    for row in sorted((row for row in rows if row.started_s is not None), key=lambda row: row.started_s or 0.0):
        if row.worker is not None:
            of_worker.setdefault(row.worker, []).append(row)
    return dict(sorted(of_worker.items(), key=lambda lane: _natural(lane[0])))


def _max_levels(lanes: Mapping[str, object]) -> int:
    return max(1, MAX_LEVELS // max(len(lanes), 1))


def _stack(rows: Sequence[TimelineRow], max_levels: int, edge_s: float, view: View) -> StackedLane:
    """Return the lane of one worker with at most `max_levels` levels.

    Rows come in order of start; each one that is in the view gets the lowest level that is free at its start.
    """
    each = (Served(row, _served_s(row, edge_s)) for row in rows)
    there = [served for served in each if view.holds(*served.span)]
    levels: list[list[Served]] = [[]]
    hidden = 0
    for served, level in zip(there, levels_of(served.span for served in there), strict=True):
        if level >= max_levels:
            hidden += 1
            continue
        if level == len(levels):
            levels.append([])
        levels[level].append(served)
    return StackedLane(levels, hidden)


def _served_s(row: TimelineRow, edge_s: float) -> Span:
    start = row.started_s or 0.0
    return start, max(start, end_of(row, edge_s))


def _places(lanes: Mapping[str, StackedLane], size: RowSize) -> tuple[list[list[float]], float]:
    """Return for each lane the distances of its levels from the top, and the total height."""
    gap = BLOCK_GAP * size.pitch if any(len(lane.levels) > 1 for lane in lanes.values()) else 0.0
    blocks, y = [], 0.0
    for lane in lanes.values():
        blocks.append([y + size.pitch * (k + 0.5) for k in range(len(lane.levels))])
        y += size.pitch * len(lane.levels) + gap
    return blocks, y


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _limit_lanes(lanes: dict[str, StackedLane]) -> tuple[dict[str, StackedLane], int, str]:
    """Return the lanes to draw, the step between them if only every n-th is drawn, and a remark on the rest."""
    remarks = []
    shown, each = lanes, 1
    if len(lanes) > LINES_UP_TO:
        each = -(-len(lanes) // 1000)
        shown = dict(list(lanes.items())[::each])
        remarks.append(f"{len(lanes):,} workers: one of {each} is drawn.")
    if hidden := sum(lane.hidden for lane in shown.values()):
        most = max(len(lane.levels) for lane in shown.values() if lane.hidden)
        drawn = "one client" if most == 1 else f"{most:,} clients"
        remarks.append(f"The drawing shows at most {drawn} per worker at a time; {hidden:,} are left out.")
    return shown, each, " ".join(remarks)


def _merge(level: Sequence[Served], frame: Frame) -> Iterator[Span]:
    """Yield the spans of a level; spans less than half a pixel apart become one, because no gap would be visible."""
    if not level:
        return
    gap_s = 0.5 * (frame.end_s - frame.begin_s) / (frame.right - frame.left)
    begin, until = level[0].span
    for _, (start, end) in level[1:]:
        if start - until >= gap_s:
            yield begin, until
            begin = start
        until = max(until, end)
    yield begin, until


def _bar(served: Served, edge_s: float, frame: Frame, y: float, size: RowSize) -> str:
    """Return the bar of one connection, with the client's name if it fits."""
    row, span = served
    signs = marks(row, edge_s)
    x1, x2 = (frame.x(at) for at in span)
    goes_on = signs.open_ended or span[1] > frame.end_s
    shape = bar(x1, max(x1 + 1.5, x2 - 1), y, size.bar, open_ended=goes_on)  # a hairline between neighbours
    parts = [f'<g class="tl-row"><title>{safe(tooltip(row, signs))}</title><path class="tl-served" d="{shape}"/>']
    if size.roomy and text_width(row.name, SMALL) + 20 <= x2 - x1:
        parts.append(f'<text class="tl-worker" x="{num(x1 + 10)}" y="{num(y + 4)}">{safe(row.name)}</text>')
    if signs.failed_at is not None and frame.shows(signs.failed_at):
        parts.append(cross_on_bar(x2 - 1, y, 0.75 * size.diamond))
    return "".join(parts) + "</g>"


def _describe(rows: Sequence[TimelineRow], of_worker: Mapping[str, Sequence[TimelineRow]]) -> str:
    served = sum(map(len, of_worker.values()))
    busiest = max(of_worker, key=lambda worker: len(of_worker[worker]), default=None)
    if busiest is None:
        return "No worker has served a client yet."
    most = f"{count_noun(len(of_worker), 'worker')} served {count_noun(served, 'client')}; {busiest} served the most"
    left_out = len(rows) - served
    waiting = f" Not shown: {count_noun(left_out, 'client')} that no worker served." if left_out else ""
    return f"{most}, {len(of_worker[busiest]):,}.{waiting}"
