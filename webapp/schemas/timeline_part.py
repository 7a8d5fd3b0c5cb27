"""Part of a timeline or of the worker lanes: the query that selects it, and the drawing with its connections."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from coreserver.config.base import FrozenSettings
from webapp.schemas.run_progress import Answer

MIN_VIEW_S = 1e-4  # shortest span of time in a view


class TimelineQuery(FrozenSettings):
    """The part of a picture that is wanted; by default all of it."""

    model_config = ConfigDict(strict=False)  # a query string has text only

    from_s: float = Field(default=0.0, ge=0, le=1e6, description="where the axis begins, seconds of the run")
    to_s: float | None = Field(default=None, gt=0, le=1e6, description="where it ends; left out: the run's end")
    first: int = Field(default=0, ge=0, lt=2**31, description="the first row, or lane, counted from 0")
    rows: int | None = Field(default=None, ge=1, lt=2**31, description="rows, or lanes; left out: to the last one")

    @field_validator("to_s")
    @classmethod
    def _ends_after_its_beginning(cls, to_s: float | None, info: ValidationInfo) -> float | None:
        if to_s is not None and to_s < info.data.get("from_s", 0.0) + MIN_VIEW_S:
            raise ValueError(f"must be at least {MIN_VIEW_S:g} s after from_s")
        return to_s


WHOLE = TimelineQuery()


class TimelinePicture(Answer):
    """A part of a picture and what can be read in it; seconds from the run's start."""

    of: Literal["rows", "lanes"] = Field(description="a row a client, or a lane a worker")
    from_s: float = Field(description="where the axis begins")
    to_s: float = Field(description="where it ends")
    whole_s: float = Field(description="the end of the run, or how far it is")
    first: int = Field(description="the first row or lane of the band that was asked for")
    rows: int = Field(description="how many rows or lanes the band has")
    total: int = Field(description="rows, or lanes, in all")
    remark: str = Field(description="what is not drawn, in words")
    pitch: float = Field(description="pixels from a line to the next")
    lines: list[tuple[float, int]] = Field(
        description="each line's distance from the plot's top, and the number of its row or lane"
    )
    columns: list[str] = Field(description="of `connections`")
    connections: list[list[Any]] = Field(
        description="where each connection is, its parts in milliseconds, null where it did not come so far; "
        "empty where they are too many to be told apart"
    )
    drawing: str = Field(description="the drawing for a wide and for a narrow screen, as markup")
