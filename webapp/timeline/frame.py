"""What stands around the timeline's rows: the scale of time, its axis and grid, the legend, and the document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from webapp.assets import asset_dir
from webapp.timeline.svg import num, safe, shorten, text_width, wrap

TEXT = 12.0  # pixels; the stylesheet says the same
SMALL = 11.0
MARGIN = 6.0
AXIS_HEIGHT = 26.0
LEGEND_LINE = 22.0
TITLE_HEIGHT = 30.0
LABEL_STEP = 15.0  # least distance of two labels
TALL = 460.0  # from here on the axis is drawn at the top as well

# A file of its own brings its colours and its paper; in a page the page's tokens decide.
_OWN_TOKENS = """\
.timeline { color-scheme: light dark; max-width: 100%; }
@media (prefers-color-scheme: dark) {
  .timeline { --tl-arrival: #e09bc8; --tl-backlog: #d6a53c; --tl-queue: #b3a5f2; --tl-served: #43aba8;
    --tl-failed: #ff9c8c; --tl-grid: #2b3836; --tl-axis: #a3b3ae; --tl-text: #e2ebe8; --tl-ground: #141c1b;
    --tl-now: #ff9c8c; }
}
"""


@dataclass(frozen=True, slots=True)
class LegendItem:
    """A sign and what it means; `sign` is drawn in a box 26 wide, centred on y = 0."""

    sign: str
    words: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The plot's place in the picture, in pixels, and the span of the run's time that it shows."""

    width: float
    left: float
    right: float
    top: float
    height: float
    begin_s: float
    end_s: float

    @property
    def bottom(self) -> float:
        """The plot's lower edge."""
        return self.top + self.height

    def x(self, at_s: float) -> float:
        """Where an instant of the run is; one that is not shown is at the edge where it lies beyond."""
        share = (at_s - self.begin_s) / (self.end_s - self.begin_s)
        return self.left + (self.right - self.left) * min(max(share, 0.0), 1.0)

    def shows(self, begin_s: float, end_s: float | None = None) -> bool:
        """Whether anything of a span, or an instant, is within the time that is shown."""
        return begin_s <= self.end_s and (begin_s if end_s is None else end_s) >= self.begin_s


def ticks(end_s: float, most: int, begin_s: float = 0.0) -> list[float]:
    """Round instants from begin to end, 1, 2 or 5 times a power of ten apart, at most about `most` of them."""
    step = 1e-6
    factors = (2.0, 2.5, 2.0)  # 1, 2, 5, 10
    k = 0
    while (end_s - begin_s) / step > most:
        step *= factors[k % 3]
        k += 1
    return [i * step for i in range(math.ceil(begin_s / step - 1e-9), int(end_s / step + 1e-9) + 1)]


def tick_label(at_s: float, step_s: float, begin_s: float = 0.0) -> str:
    """An instant as the axis writes it: seconds, or milliseconds of the first second where steps are below 50 ms."""
    if step_s < 0.05 and begin_s < 1:
        return f"{_short(at_s * 1000)} ms"
    return f"{_short(at_s)} s"


def _short(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def axis_and_grid(frame: Frame) -> str:
    """Vertical hairlines at round instants with their labels below, in a tall picture also above."""
    instants = ticks(frame.end_s, max(2, int((frame.right - frame.left) / 72)), frame.begin_s)
    step = instants[1] - instants[0] if len(instants) > 1 else frame.end_s - frame.begin_s
    lines = "".join(f"M{num(frame.x(at))} {num(frame.top)}V{num(frame.bottom)}" for at in instants)
    base = f"M{num(frame.left)} {num(frame.bottom)}H{num(frame.right)}"
    levels = [frame.bottom + 17] + ([frame.top - 8] if frame.height >= TALL else [])
    labels = "".join(
        f'<text class="tl-tick" x="{num(frame.x(at))}" y="{num(y)}">{tick_label(at, step, frame.begin_s)}</text>'
        for y in levels
        for at in instants
    )
    return f'<path class="tl-grid" d="{lines}"/><path class="tl-axis" d="{base}"/>{labels}'


def now_line(frame: Frame, now_s: float) -> str:
    """The edge of what is known, in a picture of a run under way."""
    x = num(frame.x(now_s))
    return (
        f'<path class="tl-now" d="M{x} {num(frame.top - 4)}V{num(frame.bottom)}"/>'
        f'<text class="tl-now-label" x="{x}" y="{num(frame.top - 8)}">now</text>'
    )


def legend(items: Sequence[LegendItem], width: float, top: float) -> tuple[str, float]:
    """The signs with their words, in as many lines as the width asks for; and the y below them."""
    x, y, drawn = MARGIN, top + LEGEND_LINE / 2, []
    for item in items:
        length = 34 + text_width(item.words, TEXT)
        if x > MARGIN and x + length > width - MARGIN:
            x, y = MARGIN, y + LEGEND_LINE
        drawn.append(
            f'<g transform="translate({num(x)} {num(y)})">{item.sign}<text class="tl-legend" x="33" y="4">'
            f"{safe(item.words)}</text></g>"
        )
        x += length + 14
    return "".join(drawn), y + LEGEND_LINE / 2


def note(text: str, width: float, top: float) -> tuple[str, float]:
    """A remark under the legend, in lines that fit; and the y below it. Nothing for an empty text."""
    if not text:
        return "", top
    lines = wrap(text, SMALL, width - 2 * MARGIN)
    drawn = "".join(
        f'<text class="tl-note" x="{num(MARGIN)}" y="{num(top + 15 + 16 * k)}">{safe(line)}</text>'
        for k, line in enumerate(lines)
    )
    return drawn, top + 16 * len(lines) + 6


def gutter(labels: Sequence[str], width: float) -> float:
    """How far from the left the plot begins: room for the longest label, but never more than a quarter of the width."""
    longest = max((text_width(label, TEXT) for label in labels), default=0.0)
    return min(max(longest, 24.0) + MARGIN + 14.0, max(width / 4, 70.0))


def names(labels: Sequence[str], ys: Sequence[float], frame: Frame) -> str:
    """The rows' labels at the left: all of them, or every so many where they would touch."""
    pitch = min((below - above for above, below in pairwise(ys)), default=LABEL_STEP)
    each = max(1, -int(-LABEL_STEP // pitch))
    room = frame.left - MARGIN - 12.0
    return "".join(
        f'<text class="tl-name" x="{num(frame.left - 12)}" y="{num(y + 4)}">{safe(shorten(label, TEXT, room))}</text>'
        for label, y in list(zip(labels, ys, strict=True))[::each]
    )


def empty(words: str, frame: Frame) -> str:
    """What a plot without rows says."""
    return (
        f'<text class="tl-empty" x="{num(frame.left + 12)}" y="{num(frame.top + frame.height / 2 + 4)}">{words}</text>'
    )


def heading(title: str, top: float) -> tuple[str, float]:
    """The title in words, for a file of its own; and the y below it."""
    return f'<text class="tl-title" x="{num(MARGIN)}" y="{num(top + 20)}">{safe(title)}</text>', top + TITLE_HEIGHT


def stage(
    *,
    width: float,
    left: float,
    right: float,
    height: float,
    shown_s: tuple[float, float],
    now_s: float | None,
    items: Sequence[LegendItem],
    remark: str,
    title: str | None,
) -> tuple[Frame, str]:
    """All that stands around a plot of this height, and the frame to draw in.

    Args:
        shown_s: the span of the run's time that is drawn.
        title: None: no heading.
    """
    head, y = ("", 0.0) if title is None else heading(title, 0.0)
    signs, y = legend(items, width, y)
    words, y = note(remark, width, y)
    top = y + (24.0 if height >= TALL or now_s is not None else 8.0)
    frame = Frame(width, left, right, top, height, *shown_s)
    edge = "" if now_s is None or not frame.shows(now_s) else now_line(frame, now_s)
    return frame, head + signs + words + axis_and_grid(frame) + edge


def document(body: str, frame: Frame, *, kind: str, title: str, desc: str, embedded: bool) -> str:
    """The `svg` element. Embedded it has classes, and where its plot is for a script that explores it; as a file of
    its own also its style, its paper and its size."""
    classes = f"timeline timeline--{kind}"
    width, height = frame.width, frame.bottom + AXIS_HEIGHT
    box = f'viewBox="0 0 {num(width)} {num(height)}"'
    head = f"<title>{safe(title)}</title><desc>{safe(desc)}</desc>"
    if embedded:
        edges = [num(edge) for edge in (frame.left, frame.right, frame.top, frame.bottom)]
        plot = " ".join([*edges, f"{frame.begin_s:.6f}", f"{frame.end_s:.6f}"])
        return f'<svg class="{classes}" {box} data-plot="{plot}" role="img">{head}{body}</svg>'
    size = f'width="{num(width)}" height="{num(height)}"'
    paper = f'<rect class="tl-paper" width="{num(width)}" height="{num(height)}"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{classes}" {box} {size} role="img">{head}'
        f"<style>{safe(_OWN_TOKENS + stylesheet())}</style>{paper}{body}</svg>"
    )


@cache
def stylesheet() -> str:
    """The rules that the page links as static/css/timeline.css."""
    return (asset_dir("static") / "css" / "timeline.css").read_text()
