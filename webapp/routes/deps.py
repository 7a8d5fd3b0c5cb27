"""What route functions ask for by type: the lab, and ids that are whole numbers within bounds."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Path, Request

from webapp.lab import Lab


def _lab(request: Request) -> Lab:
    return cast(Lab, request.app.state.lab)


LabDep = Annotated[Lab, Depends(_lab)]
ServerId = Annotated[int, Path(ge=1, lt=2**53, description="the server's id")]
RunId = Annotated[int, Path(ge=1, lt=2**53, description="the run's id")]
