"""Marks of the timeline: diamonds, lines, bars and crosses, for single rows and for very many rows at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coreserver.reports.timeline_rows import TimelineRow
from coreserver.reports.vocabulary import span_named
from webapp.timeline.frame import SMALL, Frame, LegendItem
from webapp.timeline.geometry import Marks, Span, outcome_words
from webapp.timeline.svg import num, safe, text_width

BACKLOG_WAIT, QUEUE_WAIT = span_named("backlog_ms").label, span_named("queue_ms").label
SINGLE_UP_TO = 200  # up to this number of rows, each is one element
LINES_UP_TO = 2000  # up to this number of rows, each has a line
DENSE_HEIGHT = 900.0  # pixels that all rows share if there are more than SINGLE_UP_TO


@dataclass(frozen=True, slots=True)
class RowSize:
    """Size of a row in pixels: distance to the next row, height of the bar, half the width of the diamond.

    `named`: every row has its name. `roomy`: marks also have texts and durations.
    """

    pitch: float
    bar: float
    diamond: float
    named: bool
    roomy: bool


def row_size(count: int) -> RowSize:
    """Return the size of each of `count` rows in one drawing."""
    if count <= 16:
        return RowSize(36, 17, 6, named=True, roomy=True)
    if count <= 32:
        return RowSize(27, 14, 5, named=True, roomy=True)
    if count <= 70:
        return RowSize(17, 9, 4, named=True, roomy=False)
    if count <= SINGLE_UP_TO:
        return RowSize(9, 5, 3, named=False, roomy=False)
    pitch = DENSE_HEIGHT / count
    return RowSize(pitch, max(0.8 * pitch, 1.0), 2, named=False, roomy=False)


def diamond(x: float, y: float, half: float) -> str:
    """Return the path of a diamond around a point."""
    h = num(half)
    return f"M{num(x - half)} {num(y)}l{h}-{h} {h} {h}-{h} {h}z"


def cross(x: float, y: float, half: float) -> str:
    """Return the path of a cross around a point."""
    w = num(2 * half)
    return f"M{num(x - half)} {num(y - half)}l{w} {w}m0-{w}l-{w} {w}"


def cross_on_bar(x: float, y: float, half: float) -> str:
    """Return a cross that is visible on a bar, because it has a border in the background colour."""
    shape = cross(x, y, half)
    return f'<path class="tl-seam" d="{shape}"/><path class="tl-cross" d="{shape}"/>'


def bar(x1: float, x2: float, y: float, height: float, *, open_ended: bool = False) -> str:
    """Return the path of a bar centred on y, at least 1.5 pixels long, with round ends; an open end is square."""
    x2 = max(x2, x1 + 1.5)
    r = min(height / 2, 4.5, (x2 - x1) / 2)
    c, side = num(r), num(height - 2 * r)
    if open_ended:
        right = f"H{num(x2)}v{num(height)}H{num(x1 + r)}"
    else:
        right = f"H{num(x2 - r)}q{c} 0 {c} {c}v{side}q0 {c}-{c} {c}H{num(x1 + r)}"
    return f"M{num(x1 + r)} {num(y - height / 2)}{right}q-{c} 0-{c}-{c}v-{side}q0-{c} {c}-{c}z"


def line(frame: Frame, span: Span, y: float) -> str:
    """Return the path of a horizontal line over a span of time."""
    return f"M{num(frame.x(span[0]))} {num(y)}H{num(frame.x(span[1]))}"


def draw_single(row: TimelineRow, signs: Marks, frame: Frame, y: float, size: RowSize) -> str:
    """Return the row of one client: its marks, the texts that fit, and a tooltip with all facts."""
    parts = [f'<g class="tl-row"><title>{safe(tooltip(row, signs))}</title>']
    for name, span in _thin_lines(signs):
        if frame.x(span[1]) - frame.x(span[0]) >= 0.5:
            parts.append(f'<path class="tl-{name}" d="{line(frame, span, y)}"/>')
            parts.append(_duration(frame, span, y) if size.roomy else "")
    if signs.served and frame.shows(*signs.served):
        x1, x2 = (frame.x(at) for at in signs.served)
        shape = bar(x1, x2, y, size.bar, open_ended=signs.open_ended or signs.served[1] > frame.end_s)
        parts.append(f'<path class="tl-served" d="{shape}"/>')
        parts.append(_bar_words(row, signs, frame, y) if size.roomy else "")
    if frame.shows(signs.arrival):
        parts.append(f'<path class="tl-arrival" d="{diamond(frame.x(signs.arrival), y, size.diamond)}"/>')
    if signs.failed_at is not None and frame.shows(signs.failed_at):
        x = frame.x(signs.failed_at)
        parts.append(cross_on_bar(x, y, 0.75 * size.diamond))
        if size.named:
            parts.append(
                f'<text class="tl-outcome" x="{num(x + 11)}" y="{num(y + 4)}">{safe(outcome_words(row))}</text>'
            )
    return "".join(parts) + "</g>"


def draw_many(placed: Sequence[tuple[Marks, float]], frame: Frame, size: RowSize) -> str:
    """Return very many rows as one path per kind of mark, which keeps the file small and fast to render.

    Lines shorter than a third of a pixel are left out. An arrival is a dot: a line of length 0 with round ends.
    """
    served = [(signs.served, y) for signs, y in placed if signs.served and frame.shows(*signs.served)]
    bars = _bars(served, frame, size)
    waits = [(name, span, y) for signs, y in placed for name, span in _thin_lines(signs)]
    lines = "".join(
        _path(
            f"tl-{kind}",
            size.pitch,
            (
                f"M{_short(x1)} {_short(y)}H{_short(x2)}"
                for name, span, y in waits
                if name == kind and (x2 := frame.x(span[1])) - (x1 := frame.x(span[0])) >= 0.33
            ),
        )
        for kind in ("connecting", "backlog", "queue")
    )
    dots = (f"M{_short(frame.x(signs.arrival))} {_short(y)}h0" for signs, y in placed if frame.shows(signs.arrival))
    arrivals = _path("tl-arrival", 2 * size.diamond, dots)
    failures = [(at, y) for signs, y in placed if (at := signs.failed_at) is not None and frame.shows(at)]
    crosses = _path("tl-cross", 1, (cross(frame.x(at), y, size.diamond) for at, y in failures))
    return f'<g class="tl-dense">{lines}{bars}{arrivals}{crosses}</g>'


def draw_many_bars(served: Sequence[tuple[Span, float]], frame: Frame, size: RowSize) -> str:
    """Return very many bars as one path."""
    return f'<g class="tl-dense">{_bars(served, frame, size)}</g>'


def legend_items(signs: Sequence[Marks], horizon_s: float) -> list[LegendItem]:
    """Return the legend of the marks; rare marks are included only if they are visible."""
    items = [
        LegendItem(f'<path class="tl-arrival" d="{diamond(13, 0, 6)}"/>', "arrival"),
        LegendItem('<path class="tl-backlog" d="M0 0H26"/>', BACKLOG_WAIT),
        LegendItem('<path class="tl-queue" d="M0 0H26"/>', QUEUE_WAIT),
        LegendItem(f'<path class="tl-served" d="{bar(0, 26, 0, 13)}"/>', "service"),
    ]
    if any(s.connecting and s.connecting[1] - s.connecting[0] > 0.01 * horizon_s for s in signs):
        items.insert(1, LegendItem('<path class="tl-connecting" d="M0 0H26"/>', "connect"))
    if any(s.failed_at is not None for s in signs):
        items.append(LegendItem(f'<path class="tl-cross" d="{cross(13, 0, 4.5)}"/>', "failure"))
    return items


def tooltip(row: TimelineRow, signs: Marks) -> str:
    """Return the facts of a row as text: name, arrival, waits, service, worker, outcome."""
    said = [row.name, f"arrived at {row.due_s:.3f} s"]
    waits = ((BACKLOG_WAIT, signs.backlog), (QUEUE_WAIT, signs.queue), ("service", signs.served))
    for name, span in waits:
        if span:
            said.append(f"{name} {span[1] - span[0]:.3f} s")
    if row.worker:
        said.append(f"by {row.worker}")
    return " · ".join([*said, outcome_words(row)])


def _thin_lines(signs: Marks) -> list[tuple[str, Span]]:
    lines = (("connecting", signs.connecting), ("backlog", signs.backlog), ("queue", signs.queue))
    return [(name, span) for name, span in lines if span]


def _duration(frame: Frame, span: Span, y: float) -> str:
    """Return the duration of a wait as text above its line; empty if the line is too short for it."""
    words = f"{span[1] - span[0]:.2f} s"
    x1, x2 = frame.x(span[0]), frame.x(span[1])
    if x2 - x1 < text_width(words, SMALL) + 24:
        return ""
    return f'<text class="tl-span" x="{num((x1 + x2) / 2)}" y="{num(y - 5)}">{words}</text>'


def _bar_words(row: TimelineRow, signs: Marks, frame: Frame, y: float) -> str:
    """Return the worker and the duration as text: in the bar, or to the right of it, or nowhere if neither fits."""
    start, end = signs.served or (0.0, 0.0)
    duration = f"{end - start:.2f} s"
    x1, x2 = frame.x(start), frame.x(end)
    for words in [f"{row.worker} · {duration}", row.worker] if row.worker else [duration]:
        if text_width(words, SMALL) + 20 <= x2 - x1:
            return f'<text class="tl-worker" x="{num(x1 + 12)}" y="{num(y + 4)}">{safe(words)}</text>'
    words = row.worker or duration
    if signs.failed_at is not None or end > frame.end_s or x2 + 8 + text_width(words, SMALL) > frame.width:
        return ""
    return f'<text class="tl-beside" x="{num(x2 + 7)}" y="{num(y + 4)}">{safe(words)}</text>'


def _bars(served: Sequence[tuple[Span, float]], frame: Frame, size: RowSize) -> str:
    return _path("tl-served", size.bar, (_stroke(frame, span, y) for span, y in served))


def _stroke(frame: Frame, span: Span, y: float) -> str:
    """Return a bar as a line, at least one pixel long."""
    x1, x2 = frame.x(span[0]), frame.x(span[1])
    return f"M{_short(x1)} {_short(y)}H{_short(max(x2, x1 + 1))}"


def _short(value: float) -> str:
    """Format a coordinate to a tenth of a pixel, which is precise enough for very many marks."""
    return f"{value:.1f}".removesuffix(".0")


def _path(name: str, stroke_width: float, shapes: Iterable[str]) -> str:
    drawn = "".join(shapes)
    return f'<path class="{name}" stroke-width="{num(stroke_width)}" d="{drawn}"/>' if drawn else ""
