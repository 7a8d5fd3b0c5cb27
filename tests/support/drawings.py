"""Shared helpers of the tests of timeline and worker lanes: rows to draw, and conversion of pixels to seconds."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET  # parses only the project's own output
from dataclasses import replace

from coreserver.reports.timeline_rows import TimelineRow

NS = "{http://www.w3.org/2000/svg}"

POOL = [
    TimelineRow("conn1", "script", 0, 0.1, 0.1, 0.1, 2.0, "completed", "worker-1"),
    TimelineRow("conn2", "script", 0, 0.1, 0.1, 0.1, 2.0, "completed", "worker-2"),
    TimelineRow("conn3", "script", 0, 0.5, 1.0, 2.0, 4.0, "completed", "worker-1"),
]


class Picture:
    """Parsed drawing that converts pixels to seconds by its own axis."""

    def __init__(self, svg: str) -> None:
        self.svg = svg
        self.root = ET.fromstring(svg)  # noqa: S314
        self.ns = NS if self.root.tag.startswith(NS) else ""
        ticks = [(float(t.attrib["x"]), t.text or "") for t in self.all("text", "tl-tick")]
        (self._x0, first), (x1, second) = ticks[0], ticks[1]
        assert first == "0 s"
        self._scale = (x1 - self._x0) / float(second.removesuffix(" s"))

    def all(self, tag: str, name: str) -> list[ET.Element]:
        return [e for e in self.root.iter(f"{self.ns}{tag}") if name in e.attrib.get("class", "").split()]

    def rows(self) -> list[ET.Element]:
        return self.all("g", "tl-row")

    def texts(self, name: str) -> list[str]:
        return [e.text or "" for e in self.all("text", name)]

    def span_s(self, row: ET.Element, name: str) -> tuple[float, float] | None:
        """Return start and end of a mark in seconds; None if the row has no such mark."""
        for path in row.iter(f"{self.ns}path"):
            if path.attrib["class"] == name:
                return self.extent_s(path.attrib["d"])
        return None

    def extent_s(self, d: str) -> tuple[float, float]:
        xs = [(x - self._x0) / self._scale for x in absolute_xs(d)]
        return round(min(xs), 2), round(max(xs), 2)


def absolute_xs(d: str) -> list[float]:
    """Return every x coordinate of a path; only the commands that the drawings use are supported."""
    x, xs = 0.0, []
    for command, text in re.findall(r"([MHVlhvqmz])([^A-Za-z]*)", d):
        values = [float(value) for value in re.findall(r"-?\d*\.?\d+", text)]
        match command:
            case "M":
                x = values[0]
            case "H":
                x = values[0]
            case "l" | "m":
                for dx in values[::2]:
                    x += dx
                    xs.append(x)
            case "q":
                x += values[2]
        xs.append(x)
    return xs


def many(count: int, *, fail_every: int = 0) -> list[TimelineRow]:
    rows = [
        TimelineRow(f"conn{k}", "script", k * 0.01, k * 0.01, k * 0.01 + 0.2, k * 0.01 + 0.3, k * 0.01 + 1, "completed",
                    f"worker-{k % 5}")
        for k in range(count)
    ]  # fmt: skip
    return [replace(row, outcome="reset") if fail_every and k % fail_every == 0 else row for k, row in enumerate(rows)]
