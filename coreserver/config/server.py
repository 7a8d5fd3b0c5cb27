"""Frozen settings of a server and of a load: the one source of forms, JSON Schemas and checks.

Every field carries its unit in its name, its default and, where the default is a choice, the reason for it. A settings
object is parsed once at the edge and never changes. Unknown fields, NaN, numbers written as text and numbers out of
range are refused with the field's name.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from coreserver.config.base import FrozenSettings, Name, Port, Seconds, Seed, cpus_are_here

# --- what a message or a connection costs beside echoing -------------------------------------------------------------


class NoWork(FrozenSettings):
    """Only the echo."""

    kind: Literal["none"] = "none"


class _TimedWork(FrozenSettings):
    """What every kind of work that takes time can be told."""

    distribution: Literal["fixed", "exponential", "uniform"] = Field(
        default="fixed", description="fixed: always the mean; uniform: 0 to twice the mean"
    )
    per: Literal["message", "connection"] = Field(
        default="message", description="done before each message's reply, or once before the connection's first reply"
    )


class SleepWork(_TimedWork):
    """Waiting on something else, as for a database: no CPU is used."""

    kind: Literal["sleep"]
    mean_ms: float = Field(default=20.0, gt=0, le=60_000, description="mean time of one piece of work, milliseconds")


class CpuWork(_TimedWork):
    """Burning the serving thread's own CPU time."""

    kind: Literal["cpu"]
    mean_ms: float = Field(default=1.0, gt=0, le=60_000, description="mean CPU time of one piece, milliseconds")


class MixedWork(_TimedWork):
    """First CPU, then waiting: a request that computes and asks a database; one draw scales both."""

    kind: Literal["mixed"]
    cpu_ms: float = Field(default=1.0, gt=0, le=60_000, description="mean CPU time of one piece, milliseconds")
    sleep_ms: float = Field(default=20.0, gt=0, le=60_000, description="mean waiting time of one piece, milliseconds")


Work = Annotated[NoWork | SleepWork | CpuWork | MixedWork, Field(discriminator="kind")]


# --- a server --------------------------------------------------------------------------------------------------------


class ServerOptions(FrozenSettings):
    """What every server model can be told; a model adds its own fields and fixes `model`."""

    model: str = Field(description="the server design")
    name: Name | None = Field(default=None, description="a name of your own; unique among the servers of the lab")
    host: str = Field(default="127.0.0.1", max_length=45, description="loopback address to listen on")
    port: Port = Field(default=0, description="0: the lab picks a free port below the ephemeral range")
    backlog: int = Field(
        default=64, ge=1, le=65535, description="asked length of the kernel's accept queue; somaxconn caps it"
    )
    nodelay: bool = Field(
        default=True, description="TCP_NODELAY; off, small replies wait about 44 ms for a delayed acknowledgement"
    )
    reply: Literal["coalesced", "per_byte"] = Field(
        default="coalesced", description="one send for all that is owed, or one send a byte as in the article"
    )
    read_bytes: int = Field(default=65536, ge=1, le=1048576, description="most bytes taken by one recv")
    idle_timeout_s: Seconds | None = Field(
        default=30.0, description="a peer that sends nothing for so long is closed; empty: never"
    )
    write_timeout_s: Seconds | None = Field(
        default=10.0, description="a peer that takes no byte of its reply for so long is closed; empty: never"
    )
    max_session_s: Seconds | None = Field(
        default=None, description="a connection served for so long is closed, busy or not; empty: never"
    )
    max_connections: int | None = Field(
        default=None, ge=1, le=1_000_000, description="past it the listener waits; empty: what descriptors allow"
    )
    placement: Literal["thread", "process"] = Field(
        default="thread", description="in threads of the lab itself, or in an interpreter of its own"
    )
    switch_interval_us: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="with placement process: how long a thread keeps the interpreter from others; empty: 5,000 µs",
    )
    cpus: Annotated[list[int], Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="with placement process: CPUs it may run on, by their numbers (0, 1); empty: all"
    )
    work: Work = Field(default=NoWork(), description="what a message or a connection costs beside echoing")
    seed: Seed = Field(default=0, description="seed of the service times; a run's own server draws from the run's seed")

    @field_validator("host")
    @classmethod
    def _host_is_loopback(cls, host: str) -> str:
        try:
            if ip_address(host).is_loopback and "%" not in host:  # a scope, as in ::1%lo, is no part of it
                return host
        except ValueError:
            pass
        raise ValueError("must be a loopback address such as 127.0.0.1 or ::1")

    @field_validator("port")
    @classmethod
    def _port_is_unprivileged(cls, port: int) -> int:
        if 0 < port < 1024:
            raise ValueError("must be 0 or 1024 to 65535")
        return port

    @field_validator("switch_interval_us", "cpus")
    @classmethod
    def _is_of_a_process(cls, value: Any, info: ValidationInfo) -> Any:
        # The lab's own interpreter and CPUs are not a server's to change.
        if value is not None and info.data.get("placement") == "thread":
            raise ValueError("is for servers with placement: process")
        return value

    _cpus_are_here = field_validator("cpus")(cpus_are_here)
