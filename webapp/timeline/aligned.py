"""Several timelines to be looked at together: an instant of the run is at the same place in all of them."""

from __future__ import annotations

from collections.abc import Sequence

from coreserver.reports.timeline_rows import TimelineRow
from webapp.timeline.drawing import NARROW, WIDE, RowScene, at_both_widths
from webapp.timeline.geometry import horizon


def draw_aligned(several: Sequence[tuple[str, Sequence[TimelineRow]]]) -> list[str]:
    """A picture each for these titles and rows, for a page with timeline.css; on one axis, one above the other."""
    until_s = max((horizon(rows, None) for _, rows in several), default=0.0)
    scenes = [(title, RowScene(rows, horizon_s=until_s)) for title, rows in several]
    return list(map(at_both_widths, _painted(scenes, WIDE), _painted(scenes, NARROW)))


def _painted(scenes: Sequence[tuple[str, RowScene]], width: int) -> list[str]:
    """All of them with the margins of the one that needs most."""
    needed = [scene.margins(width) for _, scene in scenes]
    margins = max((left for left, _ in needed), default=0.0), max((right for _, right in needed), default=0.0)
    return [scene.paint(width=width, title=title, embedded=True, margins=margins) for title, scene in scenes]
