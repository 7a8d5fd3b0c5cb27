"""JSON shapes of a run that has not ended: stage, figures, errors and history."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

RunPhase = Literal[
    "queued", "starting", "preparing", "connecting", "warm_up", "measuring", "finishing", "reading", "reporting"
]


class ResponseBody(BaseModel):
    """Base of all response bodies. Frozen, so that threads can share them."""

    model_config = ConfigDict(frozen=True, defer_build=True)  # deferred to the first use: imports are faster


class RunError(ResponseBody):
    """Failed connections of a run in progress, with the same outcome and detail."""

    outcome: str
    detail: str = Field(description="further information; may be empty")
    count: int
    last_s: float = Field(description="when the last of them was reported, seconds from the start of the run")


class LiveServer(ResponseBody):
    """Current figures of a server that the lab started; null if the figure does not apply to its design."""

    queue_depth: int | None = Field(description="connections in the queue of the design")
    accept_queue: int | None = Field(description="connections in the backlog, not accepted yet")
    threads_alive: int | None = Field(description="threads of the design")
    threads_busy: int | None = Field(description="threads of the design that serve a connection")


class RunHistory(ResponseBody):
    """Figures since the start of a run in progress: about five points per second, fewer in a long run."""

    columns: list[str] = Field(description="names of the columns; `at_s` is seconds from the start of the run")
    rows: list[list[float | None]] = Field(description="oldest first; null if a figure is not known")


class RunStage(ResponseBody):
    """Current phase of a run that has not ended."""

    phase: RunPhase
    words: str = Field(description="the phase in a sentence")
    before: int | None = Field(default=None, description="number of runs ahead of a queued run")
    expected_end_s: float = Field(description="expected end according to its settings, seconds from its start")
    is_about: bool = Field(description="whether the end also depends on the server")


class RunProgress(ResponseBody):
    """Current figures of a run in progress."""

    elapsed_s: float = Field(description="seconds since the start of the run")
    counts: dict[str, int] = Field(
        description="clients by phase (due, connecting, waiting, in_service, completed, failed), and `messages` sent"
    )
    in_flight: int = Field(default=0, description="connecting, waiting or in service")
    messages_per_s: float | None = Field(default=None, description="sent during the last second")
    connections_per_s: float | None = Field(default=None, description="started during the last second")
    server: LiveServer | None = Field(default=None, description="null for an external server")
    errors: list[RunError] = Field(default=[], description="by kind, newest first")
    errors_untold: int = Field(default=0, description="number of failed connections that `errors` does not contain")
