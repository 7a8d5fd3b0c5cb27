"""How all charts look: one set of colours that eyes without red or green tell apart, on light paper and on dark.

A spec names the colours of light paper. Its `usermeta` tells whoever draws it in a browser what to put in their place
on dark paper, and which width of a plot to replace by what the page has room for.
"""

from __future__ import annotations

from typing import Any

Spec = dict[str, Any]

PAPER = "#fcfdfc"
INK = "#15201f"
SOFT = "#4b5a57"
GRID = "#d3dbd8"
WASH = "#e4e9e6"

# What the timeline shows too has the timeline's colours.
SERVED = "#12757c"
QUEUE = "#6b55b5"
BACKLOG = "#a86a00"
ARRIVAL = "#8a2d68"
QUIET = "#66746f"
BLUE = "#1d4f91"
EMBER = "#c25700"
RAMP = ("#d3e6e4", "#6fb3b1", "#1a777d", "#073f45")  # few to many

DARK = {
    PAPER: "#141c1b",
    INK: "#e2ebe8",
    SOFT: "#a3b3ae",
    GRID: "#2b3836",
    WASH: "#212d2b",
    SERVED: "#43aba8",
    QUEUE: "#b3a5f2",
    BACKLOG: "#d6a53c",
    ARRIVAL: "#e09bc8",
    QUIET: "#8fa09b",
    BLUE: "#93bdf5",
    EMBER: "#f08a3c",
    **dict(zip(RAMP, ("#1c3b3b", "#2f7270", "#63bcb9", "#d9f5f3"), strict=True)),
}

WIDTH = 720  # of a plot, without what stands beside it
LEFT = 64  # what stands there: labels of the vertical axis
RIGHT = 14  # so that the last label of the horizontal one is not cut off

MIN_MS = 0.001  # the finest the records tell; a logarithmic scale has no room for 0


def ms_text(value: str) -> str:
    """An expression of Vega that writes a length of time, given by another in milliseconds."""
    return (
        f"({value} == 0 ? '0' : {value} >= 1000 ? format({value} / 1000, '.3~r') + ' s' : "
        f"{value} < 1 ? format({value} * 1000, '.3~r') + ' µs' : format({value}, '.3~r') + ' ms')"
    )


MS_LABEL = ms_text("datum.value")  # as an axis writes it


def log_ticks(low_ms: float, high_ms: float) -> list[float]:
    """Where a logarithmic axis has its labels: at powers of ten, and between them where these are few."""
    factors = (1, 2, 5) if high_ms < 1000 * low_ms else (1,)
    return [factor * 10.0**power for power in range(-3, 8) for factor in factors]


def positive(value_ms: float) -> float:
    """The value where a logarithmic scale can show it."""
    return max(value_ms, MIN_MS)


CONFIG: dict[str, Any] = {
    "font": "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": SOFT,
        "titleColor": SOFT,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "domainColor": SOFT,
        "tickColor": SOFT,
        "gridColor": GRID,
        "tickSize": 4,
    },
    "axisX": {"grid": False, "tickCount": 8, "labelFlush": True, "labelOverlap": True},
    "axisY": {"domain": False, "ticks": False, "labelPadding": 6, "minExtent": LEFT - 6, "maxExtent": LEFT - 6},
    "legend": {
        "orient": "top",
        "direction": "horizontal",
        "labelColor": INK,
        "labelFontSize": 12,
        "labelLimit": 240,
        "titleColor": SOFT,
        "symbolStrokeWidth": 2.5,
        "symbolSize": 110,
        "columnPadding": 18,
        "offset": 4,
    },
    "title": {
        "anchor": "start",
        "frame": "group",
        "color": INK,
        "subtitleColor": SOFT,
        "fontSize": 13,
        "fontWeight": 600,
        "subtitleFontSize": 11,
        "offset": 8,
    },
    "text": {"color": INK, "fontSize": 11},
    "line": {"strokeWidth": 2, "strokeJoin": "round"},
}
