"""Settings of a load: the groups of clients of one run, and the processes that they run in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator
from typing_extensions import override

from coreserver.config.base import FrozenSettings, Name, Seed, check_cpus
from coreserver.config.client_group import (
    COUNT_TEXT,
    MAX_CONNECTIONS,
    MAX_RUN_S,
    MESSAGE_BYTES,
    ArrivingGroup,
    CountedGroup,
    Duration,
    Rate,
    Segment,
)
from coreserver.config.personas import PersonaGroup
from coreserver.config.script_steps import Steps, Wait

MAX_GROUPS = 16  # of one run
MAX_ARRIVALS = 250_000  # of one run; each is a row of its report


# --- groups ----------------------------------------------------------------------------------------------------------


class ScriptGroup(CountedGroup):
    """Clients that each play the same script of sends, pauses and expectations."""

    kind: Literal["script"]
    name: Name = "script"
    count: int = Field(default=1, ge=1, le=20_000, description=COUNT_TEXT)
    script: Annotated[
        Annotated[Literal["article"], Tag("named script")] | Annotated[Steps, Tag("script steps")],
        Discriminator(lambda script: "script steps" if isinstance(script, list) else "named script"),
    ] = Field(default="article", description='"article" for the script of the article, or a list of steps')

    @property
    @override
    def least_s(self) -> float:
        steps = self.script if isinstance(self.script, list) else []  # the pauses of the article are short
        return self.start_s + sum(step.wait_s for step in steps if isinstance(step, Wait))


_WARM_UP_S = Field(
    default=0.0,
    ge=0,
    le=MAX_RUN_S,
    description="messages due in this first part are marked as warm-up and left out of the figures",
)


class ClosedGroup(CountedGroup):
    """Clients that wait for each reply, pause for a think time and send the next message: a closed loop.

    A client whose connection fails or is refused does not try again.
    """

    kind: Literal["closed"]
    name: Name = "closed"
    count: int = Field(default=16, ge=1, le=MAX_CONNECTIONS, description=COUNT_TEXT)
    duration_s: Duration = Field(
        default=5.0, description="after this time clients start no new message and no new connection"
    )
    warm_up_s: float = _WARM_UP_S
    message_bytes: int = MESSAGE_BYTES
    think_s: float = Field(default=0.0, ge=0, le=MAX_RUN_S, description="pause between a reply and the next message")
    think: Literal["fixed", "exponential"] = Field(
        default="fixed",
        description="fixed: always think_s, so that clients stay in step; exponential: think_s on average",
    )
    messages_per_connection: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="close and reconnect after this many messages; empty: never"
    )

    @field_validator("warm_up_s")
    @classmethod
    def _warm_up_is_a_part(cls, warm_up_s: float, info: ValidationInfo) -> float:
        return _check_part(warm_up_s, info.data.get("duration_s"))

    @property
    @override
    def least_s(self) -> float:
        return self.start_s + self.duration_s

    @property
    @override
    def payload_bytes(self) -> int:
        return self.message_bytes


class Stage(FrozenSettings):
    """One part of an open group's time."""

    rate_per_s: float = Field(
        ge=0, le=50_000, description="arrivals per second; with ramp: the rate at the end of the stage"
    )
    duration_s: Duration


class OpenGroup(ArrivingGroup):
    """Connections that arrive on schedule, whether or not the server keeps up: an open loop."""

    kind: Literal["open"]
    name: Name = "open"
    stages: Annotated[list[Stage], Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="rates that follow one another; they replace rate_per_s and duration_s"
    )
    ramp: bool = Field(
        default=False, description="in each stage change the rate linearly to that of the stage; the first starts at 0"
    )
    rate_per_s: Rate | None = Field(default=None, validate_default=True, description="mean arrivals per second")
    duration_s: Duration | None = Field(
        default=None, validate_default=True, description="clients arrive at rate_per_s for this long; empty: 5 s"
    )
    # Independent users arrive as a Poisson process; with equal gaps, waiting times do not vary because of the arrivals.
    arrivals: Literal["poisson", "constant"] = Field(
        default="poisson", description="gaps between arrivals; poisson: as for independent users; constant: all equal"
    )
    warm_up_s: float = _WARM_UP_S
    message_bytes: int = MESSAGE_BYTES
    messages_per_connection: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="messages of each client, each sent after the reply to the one before; then the client closes",
    )

    @field_validator("ramp")
    @classmethod
    def _ramp_has_stages(cls, ramp: bool, info: ValidationInfo) -> bool:
        if ramp and info.data.get("stages") is None:
            raise ValueError("a ramp needs stages")
        return ramp

    @field_validator("rate_per_s")
    @classmethod
    def _rate_or_stages(cls, rate_per_s: float | None, info: ValidationInfo) -> float | None:
        if "stages" in info.data and (rate_per_s is None) == (info.data["stages"] is None):
            raise ValueError("either rate_per_s or stages is required, not both")
        return rate_per_s

    @field_validator("duration_s")
    @classmethod
    def _duration_of_rate(cls, duration_s: float | None, info: ValidationInfo) -> float | None:
        stages = info.data.get("stages")
        if stages is None:
            return 5.0 if duration_s is None else duration_s
        if duration_s is not None:
            raise ValueError("must be empty, because each stage has its own duration")
        if sum(stage.duration_s for stage in stages) > MAX_RUN_S:
            raise ValueError(f"the stages must last at most {MAX_RUN_S:g} s in total")
        return None

    @field_validator("warm_up_s")
    @classmethod
    def _warm_up_is_a_part(cls, warm_up_s: float, info: ValidationInfo) -> float:
        stages = info.data.get("stages")
        return _check_part(warm_up_s, sum(s.duration_s for s in stages) if stages else info.data.get("duration_s"))

    @property
    @override
    def segments(self) -> list[Segment]:
        if self.stages is None:
            return [(self.rate_per_s or 0.0, self.rate_per_s or 0.0, self.duration_s or 0.0)]
        before = [0.0, *(stage.rate_per_s for stage in self.stages)]
        return [
            (previous if self.ramp else stage.rate_per_s, stage.rate_per_s, stage.duration_s)
            for previous, stage in zip(before, self.stages, strict=False)
        ]

    @property
    @override
    def least_s(self) -> float:
        return self.start_s + sum(seconds for _, _, seconds in self.segments)

    @property
    @override
    def payload_bytes(self) -> int:
        return self.message_bytes


ClientGroup = Annotated[ScriptGroup | ClosedGroup | OpenGroup | PersonaGroup, Field(discriminator="kind")]


# --- the load --------------------------------------------------------------------------------------------------------


class LoadConfig(FrozenSettings):
    """The whole load of one run."""

    clients: list[ClientGroup] = Field(min_length=1, max_length=MAX_GROUPS)
    seed: Seed = Field(default=0, description="seed of arrival times, think times, and the contents of messages")
    client_processes: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="number of processes that share the load; empty: as many as leave one CPU to the server",
    )
    client_cpus: Annotated[list[int], Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="CPUs that the client processes may run on, by number (0, 1); empty: all"
    )

    @field_validator("clients")
    @classmethod
    def _names_differ(cls, clients: list[ClientGroup]) -> list[ClientGroup]:
        if len({group.name for group in clients}) < len(clients):
            raise ValueError("two groups have the same name")
        return clients

    @field_validator("clients")
    @classmethod
    def _are_not_too_many(cls, clients: list[ClientGroup]) -> list[ClientGroup]:
        if (standing := standing_connections(clients)) > MAX_CONNECTIONS:
            raise ValueError(f"{standing:,} clients at the same time; a run has at most {MAX_CONNECTIONS:,}")
        if (arrivals := _expected_arrivals(clients)) > MAX_ARRIVALS:
            raise ValueError(f"about {arrivals:,.0f} arrivals; a run has at most {MAX_ARRIVALS:,}")
        return clients

    _check_cpus = field_validator("client_cpus")(check_cpus)


def standing_connections(clients: Sequence[ClientGroup]) -> int:
    """Return how many clients the groups have at their start; later arrivals are not counted."""
    return sum(group.count for group in clients if isinstance(group, CountedGroup))


def most_clients(clients: Sequence[ClientGroup]) -> int:
    """Return about how many clients the groups have in total, at least 1."""
    return max(1, standing_connections(clients) + round(_expected_arrivals(clients)))


def _expected_arrivals(clients: Sequence[ClientGroup]) -> float:
    return sum(group.expected_arrivals for group in clients if isinstance(group, ArrivingGroup))


def _check_part(warm_up_s: float, duration_s: float | None) -> float:
    if duration_s is not None and warm_up_s >= duration_s:
        raise ValueError(f"must be shorter than the {duration_s:g} s that it is part of")
    return warm_up_s
