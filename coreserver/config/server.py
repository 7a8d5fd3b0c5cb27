"""Settings that all server designs share: the source of forms, JSON Schemas and checks.

A field with a unit has the unit in its name. Settings are parsed once and never change. Unknown fields, NaN, numbers
given as text and numbers out of range are refused with the name of the field.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from coreserver.config.base import FrozenSettings, Name, Port, Seconds, Seed, check_cpus

# --- work: what a message or a connection costs in addition to the echo ----------------------------------------------


class NoWork(FrozenSettings):
    """No work: only the echo."""

    kind: Literal["none"] = "none"


class _TimedWork(FrozenSettings):
    """Settings of every kind of work that takes time."""

    distribution: Literal["fixed", "exponential", "uniform"] = Field(
        default="fixed", description="fixed: always the mean; uniform: from 0 to twice the mean"
    )
    per: Literal["message", "connection"] = Field(
        default="message",
        description="message: before the reply to each message; connection: once, before the first reply",
    )


class SleepWork(_TimedWork):
    """Wait without using CPU time, as for a database."""

    kind: Literal["sleep"]
    mean_ms: float = Field(
        default=20.0, gt=0, le=60_000, description="mean duration of one piece of work, in milliseconds"
    )


class CpuWork(_TimedWork):
    """Use CPU time of the serving thread."""

    kind: Literal["cpu"]
    mean_ms: float = Field(
        default=1.0, gt=0, le=60_000, description="mean CPU time of one piece of work, in milliseconds"
    )


class MixedWork(_TimedWork):
    """Use CPU time, then wait, as for a computation followed by a database query; one random factor scales both."""

    kind: Literal["mixed"]
    cpu_ms: float = Field(
        default=1.0, gt=0, le=60_000, description="mean CPU time of one piece of work, in milliseconds"
    )
    sleep_ms: float = Field(
        default=20.0, gt=0, le=60_000, description="mean waiting time of one piece of work, in milliseconds"
    )


Work = Annotated[NoWork | SleepWork | CpuWork | MixedWork, Field(discriminator="kind")]


# --- a server --------------------------------------------------------------------------------------------------------


class ServerOptions(FrozenSettings):
    """Settings of every server model; a model adds its own fields and fixes `model`."""

    model: str = Field(description="server design")
    name: Name | None = Field(default=None, description="name of the server, unique in the lab")
    host: str = Field(default="127.0.0.1", max_length=45, description="loopback address to listen on")
    port: Port = Field(default=0, description="port to listen on; 0: a free port below the ephemeral range")
    backlog: int = Field(
        default=64,
        ge=1,
        le=65535,
        description="requested length of the backlog, the accept queue of the kernel; at most somaxconn",
    )
    nodelay: bool = Field(
        default=True,
        description="set TCP_NODELAY; without it small replies wait about 44 ms for a delayed acknowledgement",
    )
    reply: Literal["coalesced", "per_byte"] = Field(
        default="coalesced",
        description="coalesced: one send for all pending reply bytes; per_byte: one send per byte, as in the article",
    )
    read_bytes: int = Field(default=65536, ge=1, le=1048576, description="maximum number of bytes received by one recv")
    idle_timeout_s: Seconds | None = Field(
        default=30.0, description="close the connection after this long without data; empty: no timeout"
    )
    write_timeout_s: Seconds | None = Field(
        default=10.0,
        description="close the connection if the peer acknowledges no reply byte for this long; empty: no timeout",
    )
    max_session_s: Seconds | None = Field(
        default=None, description="close the connection after this long in service, busy or not; empty: no limit"
    )
    max_connections: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="stop accepting while this many connections are open; empty: the descriptor limit applies",
    )
    placement: Literal["thread", "process"] = Field(
        default="thread", description="thread: in threads of the lab; process: in its own process"
    )
    switch_interval_us: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="with placement process: how long a thread keeps the interpreter lock while others wait for it; "
        "empty: 5,000 µs",
    )
    cpus: Annotated[list[int], Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="with placement process: CPUs that it may run on, by number (0, 1); empty: all"
    )
    work: Work = Field(default=NoWork(), description="what a message or a connection costs in addition to the echo")
    seed: Seed = Field(
        default=0, description="seed of the service times; a server started for a run uses the seed of the run"
    )

    @field_validator("host")
    @classmethod
    def _host_is_loopback(cls, host: str) -> str:
        try:
            if ip_address(host).is_loopback and "%" not in host:  # no scope, as in ::1%lo
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
        # A server must not change the interpreter and the CPUs of the lab.
        if value is not None and info.data.get("placement") == "thread":
            raise ValueError("is only for servers with placement: process")
        return value

    _check_cpus = field_validator("cpus")(check_cpus)
