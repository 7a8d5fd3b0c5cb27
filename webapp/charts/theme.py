"""Colours, sizes and number formats of all charts.

The colours are distinguishable without red or green. A spec has the colours of the light theme; its `usermeta` has the
replacements in the dark theme, and the width of a plot, which the page replaces by the available width.
"""

from __future__ import annotations

from typing import Any

Spec = dict[str, Any]

PAPER = "#fcfdfc"
INK = "#15201f"
SOFT = "#4b5a57"
GRID = "#d3dbd8"
WASH = "#e4e9e6"

# The same colours as in the timeline.
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

WIDTH = 720  # of a plot, in pixels, without labels
LEFT = 64  # labels of the vertical axis
RIGHT = 14  # room for the last label of the horizontal axis

MIN_MS = 0.001  # resolution of the records; a logarithmic scale has no 0


def ms_text(value: str) -> str:
    """Return a Vega expression that formats a duration, given by an expression in milliseconds."""
    return (
        f"({value} == 0 ? '0' : {value} >= 1000 ? format({value} / 1000, '.3~r') + ' s' : "
        f"{value} < 1 ? format({value} * 1000, '.3~r') + ' µs' : format({value}, '.3~r') + ' ms')"
    )


MS_LABEL = ms_text("datum.value")  # labels of an axis in milliseconds


def log_ticks(low_ms: float, high_ms: float) -> list[float]:
    """Return the labelled values of a logarithmic axis: powers of ten, and values in between if these are few."""
    factors = (1, 2, 5) if high_ms < 1000 * low_ms else (1,)
    return [factor * 10.0**power for power in range(-3, 8) for factor in factors]


def positive(value_ms: float) -> float:
    """Return the value, or the smallest one that a logarithmic scale can show."""
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
