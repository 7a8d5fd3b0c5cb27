"""The worker lanes: a row a worker, a bar for each connection it served.

A worker that serves several at once, such as an event loop, has as many rows one below the other as it needs, up to a
number beyond which a person no longer sees them apart; the picture says how many it leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple

from coreserver.reports.timeline_rows import TimelineRow
from webapp.svg import num, safe, text_width
from webapp.timeline_frame import AXIS_HEIGHT, SMALL, Frame, LegendItem, document, gutter, names, stage
from webapp.timeline_marks import Marks, Span, counted, horizon, marks
from webapp.timeline_signs import LINES_UP_TO, SINGLE_UP_TO, RowSize, bar, crossed, draw_many_bars, row_size, tooltip

LANES_UP_TO = 96  # lanes in all, when workers serve several at once: as many as a tall screen shows apart
BLOCK_GAP = 0.4  # of a lane, between workers of several lanes


class Served(NamedTuple):
    """One connection that a worker took up, and where it is drawn."""

    row: TimelineRow
    signs: Marks
    span: Span


@dataclass(frozen=True, slots=True)
class Lane:
    """What one worker served: `levels` has connections that did not overlap, in order of service.

    A worker that serves one at a time has one level. `hidden` counts connections for which there was no level left.
    """

    levels: list[list[Served]]
    hidden: int

    @property
    def served(self) -> int:
        """Connections this worker has served or is serving."""
        return sum(map(len, self.levels)) + self.hidden


def draw_lanes(
    rows: Sequence[TimelineRow],
    *,
    now_s: float | None = None,
    horizon_s: float | None = None,
    title: str,
    width: int = 1040,
    embedded: bool = False,
) -> str:
    """What every worker did when, as one `svg` element; the arguments are those of `draw`.

    Clients that no worker has taken up are left out, and counted in the description.
    """
    end = horizon(rows, now_s)
    edge = end if now_s is None else now_s
    lanes = _lanes(rows, edge)
    shown, remark = _some(lanes)
    levels = sum(len(lane.levels) for lane in shown.values())
    size = row_size(levels)
    blocks, height = _places(shown, size)
    frame, around = stage(
        width=width,
        left=gutter(list(shown), width),
        right=width - 20.0,
        height=8.0 + max(height, 32.0),
        horizon_s=max(end, horizon_s or 0.0),
        now_s=now_s,
        items=[LegendItem(f'<path class="tl-served" d="{bar(0, 26, 0, 13)}"/>', "serves a client")],
        remark=remark,
        title=None if embedded else title,
    )
    placed = [
        (level, frame.top + 4 + y)
        for lane, ys in zip(shown.values(), blocks, strict=True)
        for level, y in zip(lane.levels, ys, strict=True)
    ]
    if levels <= SINGLE_UP_TO and sum(len(level) for level, _ in placed) <= LINES_UP_TO:
        drawn = "".join(_bar(served, frame, y, size) for level, y in placed for served in level)
    else:
        drawn = draw_many_bars([(span, y) for level, y in placed for span in _merged(level, frame)], frame, size)
    middles = [frame.top + 4 + (ys[0] + ys[-1]) / 2 for ys in blocks]
    body = around + names(list(shown), middles, frame) + drawn
    whole = frame.bottom + AXIS_HEIGHT
    desc = _describe(rows, lanes)
    return document(body, kind="lanes", width=width, height=whole, title=title, desc=desc, embedded=embedded)


def _lanes(rows: Sequence[TimelineRow], edge_s: float) -> dict[str, Lane]:
    """A lane a worker, in the order a person counts: worker-2 before worker-10."""
    of_worker: dict[str, list[TimelineRow]] = {}
    for row in sorted((row for row in rows if row.started_s is not None), key=lambda row: row.started_s or 0.0):
        if row.worker is not None:
            of_worker.setdefault(row.worker, []).append(row)
    most = max(1, LANES_UP_TO // max(len(of_worker), 1))
    in_order = sorted(of_worker.items(), key=lambda lane: _natural(lane[0]))
    return {worker: _stacked(served, most, edge_s) for worker, served in in_order}


def _stacked(rows: Sequence[TimelineRow], most: int, edge_s: float) -> Lane:
    """Each row on the lowest level that is free at its start, on at most so many levels; rows in order of start."""
    levels: list[list[Served]] = []
    free: list[int] = []  # heap of levels
    taken: list[tuple[float, int]] = []  # heap of (end, level)
    hidden = 0
    for row in rows:
        signs = marks(row, edge_s)
        start, end = span = signs.served or (edge_s, edge_s)
        while taken and taken[0][0] <= start:
            heappush(free, heappop(taken)[1])
        if not free and len(levels) == most:
            hidden += 1
            continue
        if not free:
            levels.append([])
            free.append(len(levels) - 1)
        level = heappop(free)
        levels[level].append(Served(row, signs, span))
        heappush(taken, (end, level))
    return Lane(levels, hidden)


def _places(lanes: Mapping[str, Lane], size: RowSize) -> tuple[list[list[float]], float]:
    """For each lane how far down the plot its levels are, and how much room they take in all."""
    gap = BLOCK_GAP * size.pitch if any(len(lane.levels) > 1 for lane in lanes.values()) else 0.0
    blocks, y = [], 0.0
    for lane in lanes.values():
        blocks.append([y + size.pitch * (k + 0.5) for k in range(len(lane.levels))])
        y += size.pitch * len(lane.levels) + gap
    return blocks, y


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _some(lanes: dict[str, Lane]) -> tuple[dict[str, Lane], str]:
    """All lanes; or, of very many, one in every few; and a remark on all that is not drawn."""
    remarks = []
    shown = lanes
    if len(lanes) > LINES_UP_TO:
        each = -(-len(lanes) // 1000)
        shown = dict(list(lanes.items())[::each])
        remarks.append(f"{len(lanes):,} workers: one in {each} is drawn.")
    if hidden := sum(lane.hidden for lane in shown.values()):
        most = max(len(lane.levels) for lane in shown.values() if lane.hidden)
        drawn = "one client" if most == 1 else f"{most:,} clients"
        remarks.append(f"Of each worker at most {drawn} at a time can be drawn; {hidden:,} more are left out.")
    return shown, " ".join(remarks)


def _merged(level: Sequence[Served], frame: Frame) -> Iterator[Span]:
    """The spans of a level, those less than half a pixel apart as one: no eye tells them apart in so many."""
    gap_s = 0.5 * frame.horizon_s / (frame.right - frame.left)
    begin, until = level[0].span
    for _, _, (start, end) in level[1:]:
        if start - until >= gap_s:
            yield begin, until
            begin = start
        until = max(until, end)
    yield begin, until


def _bar(served: Served, frame: Frame, y: float, size: RowSize) -> str:
    """One connection in its worker's lane, with the client's name where it fits."""
    row, signs, span = served
    x1, x2 = (frame.x(at) for at in span)
    shape = bar(x1, max(x1 + 1.5, x2 - 1), y, size.bar, open_ended=signs.open_ended)  # a hairline between neighbours
    parts = [f'<g class="tl-row"><title>{safe(tooltip(row, signs))}</title><path class="tl-served" d="{shape}"/>']
    if size.roomy and text_width(row.name, SMALL) + 20 <= x2 - x1:
        parts.append(f'<text class="tl-worker" x="{num(x1 + 10)}" y="{num(y + 4)}">{safe(row.name)}</text>')
    if signs.failed_at is not None:
        parts.append(crossed(x2 - 1, y, 0.75 * size.diamond))
    return "".join(parts) + "</g>"


def _describe(rows: Sequence[TimelineRow], lanes: Mapping[str, Lane]) -> str:
    served = sum(lane.served for lane in lanes.values())
    busiest = max(lanes, key=lambda worker: lanes[worker].served, default=None)
    if busiest is None:
        return "No worker has served a client yet."
    most = f"{counted(len(lanes), 'worker')} served {counted(served, 'client')}; {busiest} served most"
    left_out = len(rows) - served
    waiting = f" {counted(left_out, 'client')} not shown, for want of a worker." if left_out else ""
    return f"{most}, {lanes[busiest].served:,}.{waiting}"
