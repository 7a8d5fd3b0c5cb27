"""Settings of the personas: clients that behave badly on purpose. `docs/adding-a-client.md` shows how to add one."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field
from typing_extensions import override

from coreserver.config.base import Name
from coreserver.config.client_group import (
    MAX_MESSAGE_BYTES,
    MESSAGE_BYTES,
    ArrivingGroup,
    CountedGroup,
    Duration,
    Rate,
    Segment,
)


class IdleGroup(CountedGroup):
    """Clients that connect and hold their connection without sending: the attack of the article."""

    kind: Literal["idle"]
    name: Name = "idle"
    hold_s: Duration = Field(
        default=10.0, description="seconds from the due time to the close, with or without a greeting"
    )

    @property
    @override
    def least_s(self) -> float:
        return self.start_s + self.hold_s


class SlowGroup(CountedGroup):
    """Settings of slow writers and slow readers."""

    bytes_per_s: float = Field(default=10.0, gt=0, le=1_000_000, description="bytes per second of each client")
    duration_s: Duration = Field(default=10.0, description="time from the greeting to the end of the client")

    @property
    @override
    def least_s(self) -> float:
        return self.start_s + self.duration_s


class SlowWriterGroup(SlowGroup):
    """Clients that send their messages a few bytes at a time."""

    kind: Literal["slow_writer"]
    name: Name = "slow_writer"
    message_bytes: int = MESSAGE_BYTES

    @property
    @override
    def payload_bytes(self) -> int:
        return self.message_bytes


class SlowReaderGroup(SlowGroup):
    """Clients that request as much as the connection takes and read the replies a few bytes at a time."""

    kind: Literal["slow_reader"]
    name: Name = "slow_reader"
    # Large, so that the server soon has more to send than the kernel buffers.
    message_bytes: int = Field(default=65536, ge=1, le=MAX_MESSAGE_BYTES, description="payload bytes of each message")

    @property
    @override
    def payload_bytes(self) -> int:
        return self.message_bytes


class ResetGroup(CountedGroup):
    """Clients that reset the connection (RST) in the middle of a message."""

    kind: Literal["reset"]
    name: Name = "reset"
    after_bytes: int = Field(
        default=1,
        ge=0,
        le=MAX_MESSAGE_BYTES,
        description="bytes of the message that are sent before the reset; 0: reset at the greeting",
    )

    @property
    @override
    def payload_bytes(self) -> int:
        return max(1, self.after_bytes)


class HalfCloseGroup(CountedGroup):
    """Clients that send one message, shut down their sending side and wait for the whole reply."""

    kind: Literal["half_close"]
    name: Name = "half_close"
    message_bytes: int = MESSAGE_BYTES

    @property
    @override
    def payload_bytes(self) -> int:
        return self.message_bytes


class FloodGroup(ArrivingGroup):
    """Connections at a constant rate, each reset as soon as it is established."""

    kind: Literal["flood"]
    name: Name = "flood"
    rate_per_s: Rate = Field(default=100.0, description="connections per second")
    duration_s: Duration = Field(default=5.0, description="connections are opened for this long")

    @property
    @override
    def segments(self) -> list[Segment]:
        return [(self.rate_per_s, self.rate_per_s, self.duration_s)]

    @property
    @override
    def least_s(self) -> float:
        return self.start_s + self.duration_s


PersonaGroup: TypeAlias = (
    IdleGroup  # one persona per line
    | SlowWriterGroup
    | SlowReaderGroup
    | ResetGroup
    | HalfCloseGroup
    | FloodGroup
)
