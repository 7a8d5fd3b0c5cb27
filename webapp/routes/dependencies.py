"""Dependencies of route functions, by type: the lab, the chart renderer, the open streams, and ids within bounds."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Header, Path, Request

from webapp.charts.rendering.renderer import ChartRenderer
from webapp.lab.lab import Lab
from webapp.live.fragments import LiveFragments
from webapp.live.streams import Streams
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
ServerId = Annotated[int, Path(ge=1, lt=2**53, description="the server's id")]
RunId = Annotated[int, Path(ge=1, lt=2**53, description="the run's id")]
LastEventId = Annotated[str | None, Header(max_length=100, description="the last `id` seen, when coming back")]


def download(name: str) -> dict[str, str]:
    """The header that makes a browser keep an answer as a file."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}
