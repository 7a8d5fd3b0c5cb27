"""Settings shared by every kind of client group."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from coreserver.config.base import FrozenSettings, Seconds

MAX_RUN_S = 600.0
MAX_MESSAGE_BYTES = 1 << 20
MAX_CONNECTIONS = 50_000  # open at the same time in one run, as far as the settings determine it

Duration = Annotated[float, Field(gt=0, le=MAX_RUN_S)]
Rate = Annotated[float, Field(gt=0, le=50_000)]  # the maximum that one client process can send
Segment: TypeAlias = tuple[float, float, float]  # rate per second at the start, rate at the end, seconds

COUNT_TEXT = "number of clients, all due at start_s"
MESSAGE_BYTES = Field(
    default=14,  # small, so that the time of a reply is the round trip, not the copying
    ge=1,
    le=MAX_MESSAGE_BYTES,
    description="payload bytes between ^ and $; the reply has the same number of bytes",
)


class GroupSettings(FrozenSettings):
    """Settings of every group: clients with the same behaviour."""

    start_s: float = Field(
        default=0.0, ge=0, le=MAX_RUN_S, description="start of the group, in seconds after the start of the run"
    )
    timeout_s: Seconds = Field(
        default=30.0,
        description="a client times out after this long without progress while it waits for its greeting or a reply",
    )

    @property
    def least_s(self) -> float:
        """The minimum time in seconds from the start of the run to the end of the group."""
        return self.start_s

    @property
    def payload_bytes(self) -> int:
        """The payload of each message that its clients send; 0: no messages are prepared for them."""
        return 0


class CountedGroup(GroupSettings):
    """A group with a fixed number of clients, all due at `start_s`."""

    count: int = Field(default=1, ge=1, le=MAX_CONNECTIONS, description=COUNT_TEXT)


class ArrivingGroup(GroupSettings):
    """A group whose clients arrive at a rate."""

    @property
    def segments(self) -> list[Segment]:
        """The rate over time; it changes linearly within a segment."""
        raise NotImplementedError

    @property
    def expected_arrivals(self) -> float:
        """The mean number of clients."""
        return sum((first + last) / 2 * seconds for first, last, seconds in self.segments)
