"""Drawings of one run: its timeline and its worker lanes, from the rows that the lab holds now.

The drawing functions in `webapp.timeline` are pure; these functions fetch the rows and the title.
Each raises NotFound for an unknown run and Invalid for a part that does not exist.
"""

from __future__ import annotations

from webapp.lab.lab import Lab
from webapp.schemas.timeline_part import WHOLE, TimelinePicture, TimelineQuery
from webapp.timeline.drawing import WIDE, paint_responsive
from webapp.timeline.explorer import picture, select_part


def timeline_svg(lab: Lab, run_id: int, query: TimelineQuery = WHOLE, *, embedded: bool = False) -> str:
    """Draw the timeline, or a part of it, as it is now.

    Args:
        embedded: for a page that links the style sheet; otherwise the SVG is a complete file.
    """
    return _draw(lab, run_id, query, embedded=embedded, lanes=False)


def lanes_svg(lab: Lab, run_id: int, query: TimelineQuery = WHOLE, *, embedded: bool = False) -> str:
    """Draw one lane per worker; otherwise the same as `timeline_svg`."""
    return _draw(lab, run_id, query, embedded=embedded, lanes=True)


def timeline_picture(lab: Lab, run_id: int, query: TimelineQuery, *, lanes: bool = False) -> TimelinePicture:
    """Return a part of the timeline, or of the worker lanes, with the positions of its connections."""
    return picture(*lab.runs.timeline(run_id), query, lanes=lanes, title=_title(lab, run_id))


def _draw(lab: Lab, run_id: int, query: TimelineQuery, *, embedded: bool, lanes: bool) -> str:
    scene = select_part(*lab.runs.timeline(run_id), query, lanes=lanes)
    title = _title(lab, run_id)
    return paint_responsive(scene, title) if embedded else scene.paint(width=WIDE, title=title, embedded=False)


def _title(lab: Lab, run_id: int) -> str:
    run = lab.runs.get(run_id)
    return f"Run {run.id}: {run.label or run.model}"
