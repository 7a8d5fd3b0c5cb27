"""Part of a timeline or of the worker lanes: the query that selects it, and the drawing with its connections."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from coreserver.config.base import FrozenSettings
from webapp.schemas.run_progress import ResponseBody

MIN_VIEW_S = 1e-4  # shortest span of time in a view


class TimelineQuery(FrozenSettings):
    """Part of a drawing; by default the whole drawing."""

    model_config = ConfigDict(strict=False)  # a query string contains text only

    from_s: float = Field(default=0.0, ge=0, le=1e6, description="start of the axis, seconds from the start of the run")
    to_s: float | None = Field(default=None, gt=0, le=1e6, description="end of the axis; default: the end of the run")
    first: int = Field(default=0, ge=0, lt=2**31, description="first row or lane, counted from 0")
    rows: int | None = Field(default=None, ge=1, lt=2**31, description="number of rows or lanes; default: all")

    @field_validator("to_s")
    @classmethod
    def _ends_after_start(cls, to_s: float | None, info: ValidationInfo) -> float | None:
        if to_s is not None and to_s < info.data.get("from_s", 0.0) + MIN_VIEW_S:
            raise ValueError(f"must be at least {MIN_VIEW_S:g} s after from_s")
        return to_s


WHOLE = TimelineQuery()


class TimelinePicture(ResponseBody):
    """Part of a drawing, and its connections. Times are seconds from the start of the run."""

    of: Literal["rows", "lanes"] = Field(description="one row per client, or one lane per worker")
    from_s: float = Field(description="start of the axis")
    to_s: float = Field(description="end of the axis")
    whole_s: float = Field(description="end of the run, or its elapsed time")
    first: int = Field(description="first row or lane of the requested part")
    rows: int = Field(description="number of rows or lanes in the requested part")
    total: int = Field(description="number of all rows or lanes")
    remark: str = Field(description="note about connections that are not drawn; may be empty")
    pitch: float = Field(description="pixels between two lines")
    lines: list[tuple[float, int]] = Field(
        description="distance of each line from the top of the plot, and the number of its row or lane"
    )
    columns: list[str] = Field(description="names of the columns of `connections`")
    connections: list[list[Any]] = Field(
        description="position of each connection and the parts of its time in milliseconds, null if not reached; "
        "empty if there are too many connections to tell them apart"
    )
    drawing: str = Field(description="SVG markup for a wide and for a narrow screen")
