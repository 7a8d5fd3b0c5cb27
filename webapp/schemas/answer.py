"""What every answer of the REST API is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """Base of every answer; immutable, so it can be handed between threads."""

    model_config = ConfigDict(frozen=True)
