"""Dependencies of route functions, by type: the lab, the chart renderer, the open streams, and ids within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, cast

from fastapi import Depends, Header, Path, Request

from webapp.charts.rendering.renderer import ChartRenderer
from webapp.lab.lab import Lab
from webapp.live.fragments import LiveFragments
from webapp.live.streams import Streams
from webapp.problems import FieldError, Invalid
from webapp.prometheus import Metrics


def _lab(request: Request) -> Lab:
    return cast(Lab, request.app.state.lab)


def _charts(request: Request) -> ChartRenderer:
    return cast(ChartRenderer, request.app.state.charts)


def _streams(request: Request) -> Streams:
    return cast(Streams, request.app.state.streams)


def _fragments(request: Request) -> LiveFragments:
    return cast(LiveFragments, request.app.state.fragments)


def _metrics(request: Request) -> Metrics:
    return cast(Metrics, request.app.state.metrics)


LabDep = Annotated[Lab, Depends(_lab)]
ChartsDep = Annotated[ChartRenderer, Depends(_charts)]
StreamsDep = Annotated[Streams, Depends(_streams)]
FragmentsDep = Annotated[LiveFragments, Depends(_fragments)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]
ServerId = Annotated[int, Path(ge=1, lt=2**53, description="id of the server")]
RunId = Annotated[int, Path(ge=1, lt=2**53, description="id of the run")]
LastEventId = Annotated[str | None, Header(max_length=100, description="`id` of the last event, after a reconnect")]


def download(name: str) -> dict[str, str]:
    """Return the header that makes a browser save the response as a file."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def parse_run_ids(texts: Sequence[str], *, least: int = 1, most: int) -> list[int]:
    """Parse ids of runs from a query or a form, without duplicates.

    Raises:
        Invalid: one is not an id, or there are fewer than `least` or more than `most` (field `run`).
    """
    found = list(dict.fromkeys(int(text) if _is_id(text) else 0 for text in texts))
    if 0 in found:
        why = "must be the id of a run"
    elif not least <= len(found) <= most:
        why = f"select {least} to {most} runs, not {len(found) or 'none'}"
    else:
        return found
    raise Invalid(why, errors=[FieldError("run", why)])


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 17 and 0 < int(text) < 2**53
