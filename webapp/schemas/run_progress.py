"""The JSON of a run that is not over: its stage, its figures, what went wrong so far, and what was before."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

RunPhase = Literal[
    "queued", "starting", "preparing", "connecting", "warm_up", "measuring", "finishing", "reading", "reporting"
]


class Answer(BaseModel):
    """Base of all response bodies. Frozen, so that threads can share them."""

    model_config = ConfigDict(frozen=True)


class RunError(Answer):
    """Connections of a run under way that ended otherwise than asked, of one kind."""

    outcome: str
    detail: str = Field(description="what the outcome does not say; may be empty")
    count: int
    last_s: float = Field(description="when the last of them became known, seconds from the run's start")


class LiveServer(Answer):
    """The lab's own server under a run, at this instant; null where its design has no such notion."""

    queue_depth: int | None = Field(description="connections in the design's own queue")
    accept_queue: int | None = Field(description="connections in the kernel's queue that nobody accepted yet")
    threads_alive: int | None = Field(description="the design's own threads")
    threads_busy: int | None = Field(description="those of them that serve somebody")


class RunHistory(Answer):
    """A run under way so far: a point some five times a second, fewer in a long run."""

    columns: list[str] = Field(description="of `rows`; `at_s` is seconds from the run's start")
    rows: list[list[float | None]] = Field(description="oldest first; null where it is not known")


class RunStage(Answer):
    """What a run that is not over is doing."""

    phase: RunPhase
    words: str = Field(description="the same in a sentence")
    before: int | None = Field(default=None, description="of a queued run: how many runs come before it")
    expected_end_s: float = Field(description="when it should end by its own settings, seconds from its start")
    is_about: bool = Field(description="the end also depends on what the clients find")


class RunProgress(Answer):
    """Where the clients of a run are now."""

    elapsed_s: float = Field(description="seconds since the run's start")
    counts: dict[str, int] = Field(
        description="clients by phase: due, connecting, waiting, in_service, completed, failed; and `messages` sent"
    )
    in_flight: int = Field(default=0, description="connecting, waiting or in service")
    messages_per_s: float | None = Field(default=None, description="sent during the last second")
    connections_per_s: float | None = Field(default=None, description="begun during the last second")
    server: LiveServer | None = Field(default=None, description="null where the server is not ours")
    errors: list[RunError] = Field(default=[], description="by kind, the newest first")
    errors_untold: int = Field(default=0, description="failed connections that `errors` does not tell of (yet)")
