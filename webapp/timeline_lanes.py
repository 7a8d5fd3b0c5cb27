"""The worker lanes: a row a worker, a bar for each connection it served."""

from __future__ import annotations

import re
from collections.abc import Sequence

from coreserver.reports.timeline_rows import TimelineRow
from webapp.svg import num, safe, text_width
from webapp.timeline_frame import AXIS_HEIGHT, SMALL, Frame, LegendItem, document, gutter, names, stage
from webapp.timeline_marks import Marks, counted, horizon, marks
from webapp.timeline_signs import LINES_UP_TO, SINGLE_UP_TO, RowSize, bar, crossed, draw_many, row_size, tooltip

Lane = list[TimelineRow]


def draw_lanes(
    rows: Sequence[TimelineRow],
    *,
    now_s: float | None = None,
    title: str,
    width: int = 1040,
    embedded: bool = False,
) -> str:
    """What every worker did when, as one `svg` element; the arguments are those of `draw`.

    Clients that no worker has taken up are left out, and counted in the description.
    """
    lanes = _lanes(rows)
    end = horizon(rows, now_s)
    edge = end if now_s is None else now_s
    shown, remark = _some(lanes)
    size = row_size(len(shown))
    frame, around = stage(
        width=width,
        left=gutter(list(shown), width),
        right=width - 20.0,
        height=8.0 + max(size.pitch * len(shown), 32.0),
        horizon_s=end,
        now_s=now_s,
        items=[LegendItem(f'<path class="tl-served" d="{bar(0, 26, 0, 13)}"/>', "serves a client")],
        remark=remark,
        title=None if embedded else title,
    )
    ys = [frame.top + 4 + size.pitch * (k + 0.5) for k in range(len(shown))]
    placed = [(row, marks(row, edge), y) for lane, y in zip(shown.values(), ys, strict=True) for row in lane]
    if len(shown) <= SINGLE_UP_TO and len(placed) <= LINES_UP_TO:
        drawn = "".join(_served(row, signs, frame, y, size) for row, signs, y in placed)
    else:
        drawn = draw_many([(signs, y) for _, signs, y in placed], frame, size, served_only=True)
    body = around + names(list(shown), ys, frame) + drawn
    height = frame.bottom + AXIS_HEIGHT
    desc = _describe(rows, lanes)
    return document(body, kind="lanes", width=width, height=height, title=title, desc=desc, embedded=embedded)


def _lanes(rows: Sequence[TimelineRow]) -> dict[str, Lane]:
    """The rows of each worker in order of service; workers in the order a person counts: worker-2 before worker-10."""
    lanes: dict[str, Lane] = {}
    for row in sorted((row for row in rows if row.started_s is not None), key=lambda row: row.started_s or 0.0):
        if row.worker is not None:
            lanes.setdefault(row.worker, []).append(row)
    return dict(sorted(lanes.items(), key=lambda lane: _natural(lane[0])))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _some(lanes: dict[str, Lane]) -> tuple[dict[str, Lane], str]:
    """All lanes; or, of very many, one in every few, and a remark that says so."""
    if len(lanes) <= LINES_UP_TO:
        return lanes, ""
    each = -(-len(lanes) // 1000)
    return dict(list(lanes.items())[::each]), f"{len(lanes):,} workers: one in {each} is drawn."


def _served(row: TimelineRow, signs: Marks, frame: Frame, y: float, size: RowSize) -> str:
    """One connection in its worker's lane, with the client's name where it fits."""
    if signs.served is None:
        return ""
    x1, x2 = (frame.x(at) for at in signs.served)
    shape = bar(x1, max(x1 + 1.5, x2 - 1), y, size.bar, open_ended=signs.open_ended)  # a hairline between neighbours
    parts = [f'<g class="tl-row"><title>{safe(tooltip(row, signs))}</title><path class="tl-served" d="{shape}"/>']
    if size.roomy and text_width(row.name, SMALL) + 20 <= x2 - x1:
        parts.append(f'<text class="tl-worker" x="{num(x1 + 10)}" y="{num(y + 4)}">{safe(row.name)}</text>')
    if signs.failed_at is not None:
        parts.append(crossed(x2 - 1, y, 0.75 * size.diamond))
    return "".join(parts) + "</g>"


def _describe(rows: Sequence[TimelineRow], lanes: dict[str, Lane]) -> str:
    served = sum(map(len, lanes.values()))
    busiest = max(lanes, key=lambda worker: len(lanes[worker]), default=None)
    if busiest is None:
        return "No worker has served a client yet."
    most = f"{counted(len(lanes), 'worker')} served {counted(served, 'client')}; {busiest} served most"
    left_out = len(rows) - served
    waiting = f" {counted(left_out, 'client')} not shown, for want of a worker." if left_out else ""
    return f"{most}, {len(lanes[busiest]):,}.{waiting}"
