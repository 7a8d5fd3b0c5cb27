"""Frozen settings of a load: the groups of clients that one run sends, and the processes they live in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from coreserver.config.base import FrozenSettings, Name, Seconds, Seed, cpus_are_here
from coreserver.config.script_steps import Steps, Wait

MAX_RUN_S = 600.0
MAX_GROUPS = 16  # of one run
MAX_MESSAGE_BYTES = 1 << 20
MAX_CONNECTIONS = 50_000  # that one run holds open at a time, as far as its settings tell
MAX_ARRIVALS = 250_000  # of one run; each is a row of its report

Duration = Annotated[float, Field(gt=0, le=MAX_RUN_S)]
Rate = Annotated[float, Field(gt=0, le=50_000)]  # what one client process can send at the very most


# --- groups ----------------------------------------------------------------------------------------------------------


class _Group(FrozenSettings):
    """What every kind of group can be told."""

    start_s: float = Field(default=0.0, ge=0, le=MAX_RUN_S, description="when its time begins, from the run's start")
    timeout_s: Seconds = Field(
        default=30.0, description="a client that waits so long for its greeting or for a reply has timed out"
    )

    @property
    def least_s(self) -> float:
        """How long the group keeps a run going by itself, from the run's start, whatever the server does."""
        return self.start_s


class _CountedGroup(_Group):
    """A group of so many clients, all due at `start_s`."""

    count: int = Field(default=1, ge=1, le=MAX_CONNECTIONS, description="clients, all due at start_s")


class ScriptGroup(_CountedGroup):
    """Some clients that each play the same script of sends, pauses and expectations."""

    kind: Literal["script"]
    name: Name = "script"
    count: int = Field(default=1, ge=1, le=20_000, description="clients, all due at start_s")
    script: Annotated[
        Annotated[Literal["article"], Tag("named script")] | Annotated[Steps, Tag("script steps")],
        Discriminator(lambda script: "script steps" if isinstance(script, list) else "named script"),
    ] = Field(default="article", description='"article" for the one of the article, or a list of steps')

    @property
    def least_s(self) -> float:
        """The pauses of its own script; those of the article's are short."""
        steps = self.script if isinstance(self.script, list) else []
        return self.start_s + sum(step.wait_s for step in steps if isinstance(step, Wait))


_MESSAGE_BYTES = Field(
    default=14,  # a header's worth: the reply's cost is then the round trip, not the copying
    ge=1,
    le=MAX_MESSAGE_BYTES,
    description="payload between ^ and $, so the reply has as many bytes",
)
_WARM_UP_S = Field(
    default=0.0, ge=0, le=MAX_RUN_S, description="what is due before is marked as warm-up and left out of figures"
)


class ClosedGroup(_CountedGroup):
    """Clients that each wait for their reply, think, and send the next message: the server sets the pace.

    A client whose connection fails or is refused does not try again.
    """

    kind: Literal["closed"]
    name: Name = "closed"
    count: int = Field(default=16, ge=1, le=MAX_CONNECTIONS, description="clients, all due at start_s")
    duration_s: Duration = Field(default=5.0, description="afterwards no message and no connection is begun")
    warm_up_s: float = _WARM_UP_S
    message_bytes: int = _MESSAGE_BYTES
    think_s: float = Field(default=0.0, ge=0, le=MAX_RUN_S, description="pause between a reply and the next message")
    think: Literal["fixed", "exponential"] = Field(
        default="fixed", description="always think_s, which keeps clients in step; or think_s on average"
    )
    messages_per_connection: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="then the client closes and connects anew; empty: never"
    )

    @field_validator("warm_up_s")
    @classmethod
    def _warm_up_is_a_part(cls, warm_up_s: float, info: ValidationInfo) -> float:
        return _part_of(warm_up_s, info.data.get("duration_s"))

    @property
    def least_s(self) -> float:
        """Messages begin until then."""
        return self.start_s + self.duration_s


class Stage(FrozenSettings):
    """A stretch of an open group's time."""

    rate_per_s: float = Field(ge=0, le=50_000, description="arrivals per second; with ramp: at the end of the stage")
    duration_s: Duration


class OpenGroup(_Group):
    """Connections that arrive when they are due, whether the server keeps up or not."""

    kind: Literal["open"]
    name: Name = "open"
    stages: Annotated[list[Stage], Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="rates one after the other, in place of rate_per_s and duration_s"
    )
    ramp: bool = Field(
        default=False, description="in every stage the rate goes linearly to the stage's own, from 0 in the first"
    )
    rate_per_s: Rate | None = Field(default=None, validate_default=True, description="mean arrivals per second")
    duration_s: Duration | None = Field(
        default=None, validate_default=True, description="how long clients arrive at rate_per_s; empty: 5 s"
    )
    # Independent users are Poisson; a constant rate is for those who want to see one wait without its scatter.
    arrivals: Literal["poisson", "constant"] = Field(
        default="poisson", description="gaps between arrivals: as of independent users, or all the same"
    )
    warm_up_s: float = _WARM_UP_S
    message_bytes: int = _MESSAGE_BYTES
    messages_per_connection: int = Field(
        default=1, ge=1, le=1_000_000, description="sent one after the other's reply; then the client closes"
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
            raise ValueError("one of rate_per_s and stages must be given")
        return rate_per_s

    @field_validator("duration_s")
    @classmethod
    def _duration_of_rate(cls, duration_s: float | None, info: ValidationInfo) -> float | None:
        stages = info.data.get("stages")
        if stages is None:
            return 5.0 if duration_s is None else duration_s
        if duration_s is not None:
            raise ValueError("stages have durations of their own")
        if sum(stage.duration_s for stage in stages) > MAX_RUN_S:
            raise ValueError(f"the stages must come to at most {MAX_RUN_S:g} s")
        return None

    @field_validator("warm_up_s")
    @classmethod
    def _warm_up_is_a_part(cls, warm_up_s: float, info: ValidationInfo) -> float:
        stages = info.data.get("stages")
        return _part_of(warm_up_s, sum(s.duration_s for s in stages) if stages else info.data.get("duration_s"))

    @property
    def segments(self) -> list[tuple[float, float, float]]:
        """Its time as (rate at the beginning, rate at the end, seconds), rates changing linearly."""
        if self.stages is None:
            return [(self.rate_per_s or 0.0, self.rate_per_s or 0.0, self.duration_s or 0.0)]
        before = [0.0, *(stage.rate_per_s for stage in self.stages)]
        return [
            (was if self.ramp else stage.rate_per_s, stage.rate_per_s, stage.duration_s)
            for was, stage in zip(before, self.stages, strict=False)
        ]

    @property
    def least_s(self) -> float:
        """Clients arrive until then."""
        return self.start_s + sum(seconds for _, _, seconds in self.segments)


class IdleGroup(_CountedGroup):
    """Clients that connect and hold their connection in silence: the attack of the article."""

    kind: Literal["idle"]
    name: Name = "idle"
    hold_s: Duration = Field(default=10.0, description="from due to close, greeted or not")

    @property
    def least_s(self) -> float:
        """They hold on until then."""
        return self.start_s + self.hold_s


class _SlowGroup(_CountedGroup):
    """What slow writers and slow readers have in common."""

    bytes_per_s: float = Field(default=10.0, gt=0, le=1_000_000, description="of each client")
    duration_s: Duration = Field(default=10.0, description="from the greeting on")

    @property
    def least_s(self) -> float:
        """Before they were greeted they do nothing for long."""
        return self.start_s + self.duration_s


class SlowWriterGroup(_SlowGroup):
    """Clients that send message after message, a trickle of bytes at a time."""

    kind: Literal["slow_writer"]
    name: Name = "slow_writer"
    message_bytes: int = _MESSAGE_BYTES


class SlowReaderGroup(_SlowGroup):
    """Clients that ask for as much as the connection takes and read the replies in a trickle."""

    kind: Literal["slow_reader"]
    name: Name = "slow_reader"
    # Large ones, so that the server soon has more to send than the kernel buffers for it.
    message_bytes: int = Field(default=65536, ge=1, le=MAX_MESSAGE_BYTES, description="payload of each message")


class ResetGroup(_CountedGroup):
    """Clients that vanish in the middle of a message, with a RST."""

    kind: Literal["reset"]
    name: Name = "reset"
    after_bytes: int = Field(
        default=1, ge=0, le=MAX_MESSAGE_BYTES, description="of a message that are sent before; 0: at the greeting"
    )


class HalfCloseGroup(_CountedGroup):
    """Clients that send one message, close their side, and still want the whole reply."""

    kind: Literal["half_close"]
    name: Name = "half_close"
    message_bytes: int = _MESSAGE_BYTES


class FloodGroup(_Group):
    """Connects at a constant rate, each reset as soon as it is made: nobody waits to be greeted."""

    kind: Literal["flood"]
    name: Name = "flood"
    rate_per_s: Rate = Field(default=100.0, description="connects per second")
    duration_s: Duration = Field(default=5.0, description="how long they go on")

    @property
    def segments(self) -> list[tuple[float, float, float]]:
        """As an open group's."""
        return [(self.rate_per_s, self.rate_per_s, self.duration_s)]

    @property
    def least_s(self) -> float:
        """Connects go on until then."""
        return self.start_s + self.duration_s


ClientGroup = Annotated[
    ScriptGroup
    | ClosedGroup
    | OpenGroup
    | IdleGroup
    | SlowWriterGroup
    | SlowReaderGroup
    | ResetGroup
    | HalfCloseGroup
    | FloodGroup,
    Field(discriminator="kind"),
]


class LoadConfig(FrozenSettings):
    """The whole load of one run."""

    clients: list[ClientGroup] = Field(min_length=1, max_length=MAX_GROUPS)
    seed: Seed = Field(default=0, description="of arrival times, messages and their mix")
    client_processes: int | None = Field(
        default=None, ge=1, le=64, description="that share the load; empty: as many as leave a core to the server"
    )
    client_cpus: Annotated[list[int], Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="CPUs the client processes may run on, by their numbers (0, 1); empty: all"
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
            raise ValueError(f"{standing:,} clients at a time, where a run has at most {MAX_CONNECTIONS:,}")
        arrivals = sum(_expected_arrivals(group) for group in clients if isinstance(group, OpenGroup | FloodGroup))
        if arrivals > MAX_ARRIVALS:
            raise ValueError(f"about {arrivals:,.0f} arrivals, where a run has at most {MAX_ARRIVALS:,}")
        return clients

    _cpus_are_here = field_validator("client_cpus")(cpus_are_here)


def standing_connections(clients: Sequence[ClientGroup]) -> int:
    """How many clients the groups have from their start; those that arrive later are not known beforehand."""
    return sum(group.count for group in clients if isinstance(group, _CountedGroup))


def most_clients(clients: Sequence[ClientGroup]) -> int:
    """About how many clients the groups have altogether, at least 1."""
    arriving = (group for group in clients if isinstance(group, OpenGroup | FloodGroup))
    return max(1, standing_connections(clients) + round(sum(map(_expected_arrivals, arriving))))


def _expected_arrivals(group: OpenGroup | FloodGroup) -> float:
    return sum((first + last) / 2 * seconds for first, last, seconds in group.segments)


def _part_of(warm_up_s: float, duration_s: float | None) -> float:
    if duration_s is not None and warm_up_s >= duration_s:
        raise ValueError(f"must be shorter than the {duration_s:g} s it is a part of")
    return warm_up_s
