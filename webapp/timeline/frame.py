"""The frame around the rows of a drawing: time scale, axis and grid, legend, remark, and the SVG document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from webapp.assets import asset_dir
from webapp.timeline.svg import num, safe, shorten, text_width, wrap

TEXT = 12.0  # pixels, as in the stylesheet
SMALL = 11.0
MARGIN = 6.0
AXIS_HEIGHT = 26.0
LEGEND_LINE = 22.0
TITLE_HEIGHT = 30.0
LABEL_STEP = 15.0  # minimum distance of two labels
TALL = 460.0  # from this height on, the axis has labels at the top too

# A file contains its colours and its background; in a page the tokens of the page apply.
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
    """A sign and its meaning; `sign` is drawn in a box 26 pixels wide, centred on y = 0."""

    sign: str
    words: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The plot's position in the drawing, in pixels, and the span of time that it shows, in seconds of the run."""

    width: float
    left: float
    right: float
    top: float
    height: float
    begin_s: float
    end_s: float

    @property
    def bottom(self) -> float:
        """Lower edge of the plot."""
        return self.top + self.height

    def x(self, at_s: float) -> float:
        """Return the x coordinate of an instant of the run, limited to the edges of the plot."""
        share = (at_s - self.begin_s) / (self.end_s - self.begin_s)
        return self.left + (self.right - self.left) * min(max(share, 0.0), 1.0)

    def shows(self, begin_s: float, end_s: float | None = None) -> bool:
        """Whether an instant, or a part of a span, is within the shown time."""
        return begin_s <= self.end_s and (begin_s if end_s is None else end_s) >= self.begin_s


def ticks(end_s: float, most: int, begin_s: float = 0.0) -> list[float]:
    """Return at most about `most` instants from begin to end, at distances of 1, 2 or 5 times a power of ten."""
    step = 1e-6
    factors = (2.0, 2.5, 2.0)  # 1, 2, 5, 10
    k = 0
    while (end_s - begin_s) / step > most:
        step *= factors[k % 3]
        k += 1
    return [i * step for i in range(math.ceil(begin_s / step - 1e-9), int(end_s / step + 1e-9) + 1)]


def tick_label(at_s: float, step_s: float, begin_s: float = 0.0) -> str:
    """Return the label of an instant: in milliseconds if steps are below 50 ms and the axis begins in the first second,
    else in seconds."""
    if step_s < 0.05 and begin_s < 1:
        return f"{_short(at_s * 1000)} ms"
    return f"{_short(at_s)} s"


def _short(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def axis_and_grid(frame: Frame) -> str:
    """Return vertical lines at round instants, with labels below the plot, and above it too if it is tall."""
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
    """Return the line at the current time of a run in progress."""
    x = num(frame.x(now_s))
    return (
        f'<path class="tl-now" d="M{x} {num(frame.top - 4)}V{num(frame.bottom)}"/>'
        f'<text class="tl-now-label" x="{x}" y="{num(frame.top - 8)}">now</text>'
    )


def legend(items: Sequence[LegendItem], width: float, top: float) -> tuple[str, float]:
    """Return the legend, broken into lines of at most `width`, and the y below it."""
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
    """Return a remark below the legend, broken into lines, and the y below it; nothing for an empty text."""
    if not text:
        return "", top
    lines = wrap(text, SMALL, width - 2 * MARGIN)
    drawn = "".join(
        f'<text class="tl-note" x="{num(MARGIN)}" y="{num(top + 15 + 16 * k)}">{safe(line)}</text>'
        for k, line in enumerate(lines)
    )
    return drawn, top + 16 * len(lines) + 6


def gutter(labels: Sequence[str], width: float) -> float:
    """Return the left edge of the plot: room for the longest label, limited to a quarter of the width."""
    longest = max((text_width(label, TEXT) for label in labels), default=0.0)
    return min(max(longest, 24.0) + MARGIN + 14.0, max(width / 4, 70.0))


def names(labels: Sequence[str], ys: Sequence[float], frame: Frame) -> str:
    """Return the labels of the rows: all of them, or every n-th if neighbours would touch."""
    pitch = min((below - above for above, below in pairwise(ys)), default=LABEL_STEP)
    each = max(1, -int(-LABEL_STEP // pitch))
    room = frame.left - MARGIN - 12.0
    return "".join(
        f'<text class="tl-name" x="{num(frame.left - 12)}" y="{num(y + 4)}">{safe(shorten(label, TEXT, room))}</text>'
        for label, y in list(zip(labels, ys, strict=True))[::each]
    )


def empty(words: str, frame: Frame) -> str:
    """Return the text of a plot without rows."""
    return (
        f'<text class="tl-empty" x="{num(frame.left + 12)}" y="{num(frame.top + frame.height / 2 + 4)}">{words}</text>'
    )


def heading(title: str, top: float) -> tuple[str, float]:
    """Return the heading of a file and the y below it."""
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
    """Return the frame of a plot of this height, and everything that is drawn around the plot.

    Args:
        shown_s: the span of the run's time to draw.
        title: the heading; None: no heading.
    """
    head, y = ("", 0.0) if title is None else heading(title, 0.0)
    signs, y = legend(items, width, y)
    words, y = note(remark, width, y)
    top = y + (24.0 if height >= TALL or now_s is not None else 8.0)
    frame = Frame(width, left, right, top, height, *shown_s)
    edge = "" if now_s is None or not frame.shows(now_s) else now_line(frame, now_s)
    return frame, head + signs + words + axis_and_grid(frame) + edge


def document(body: str, frame: Frame, *, kind: str, title: str, desc: str, embedded: bool) -> str:
    """Return the `svg` element: embedded with the position of its plot, which the explorer reads, or as a file with
    styles, background and size."""
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
    """Return static/css/timeline.css, which pages link."""
    return (asset_dir("static") / "css" / "timeline.css").read_text()
