"""What `serverlab run` was asked for on its command line, as the body of a run; checked as far as needs no lab."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from webapp import strict_json
from webapp.objectives import Objective
from webapp.problems import Problem

DEFAULT_CLIENTS = 3  # of a script: enough to see one of them wait behind a pool of two
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?\Z", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


class UsageError(Exception):
    """The command line cannot mean anything; the message is for the person who wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFlags:
    """The flags that describe one client group; None where a flag was not given."""

    clients: int | None = None
    script: str | None = None
    rate: float | None = None
    arrivals: str | None = None
    duration: str | None = None
    warm_up: str | None = None
    think: str | None = None
    message_bytes: int | None = None
    messages_per_connection: int | None = None

    def group(self) -> dict[str, Any] | None:
        """The group they describe, what was not given left to its default; None when none was given."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if not given:
            return None
        kind = "open" if given.keys() & {"rate", "arrivals"} else "closed" if given.keys() & _LASTING else "script"
        if strangers := [name for name in given if name not in _FIELDS[kind]]:
            flag = f"--{strangers[0].replace('_', '-')}"
            raise UsageError(f"{flag} does not go with {_ABOUT[kind]}")
        if kind == "open" and self.rate is None:
            raise UsageError("--arrivals needs --rate")
        group = {_FIELDS[kind][name]: _value(name, value) for name, value in given.items()}
        return {"kind": kind, **(_SCRIPT_DEFAULTS if kind == "script" else {}), **group}


_LASTING = {"duration", "warm_up", "think", "message_bytes", "messages_per_connection"}
_SHARED = {
    "duration": "duration_s",
    "warm_up": "warm_up_s",
    "message_bytes": "message_bytes",
    "messages_per_connection": "messages_per_connection",
}
_FIELDS = {
    "script": {"clients": "count", "script": "script"},
    "closed": {"clients": "count", "think": "think_s", **_SHARED},
    "open": {"rate": "rate_per_s", "arrivals": "arrivals", **_SHARED},
}
_ABOUT = {
    "script": "a script",
    "closed": "clients that wait for their replies (--duration and its like)",
    "open": "arrivals at a --rate",
}
_SCRIPT_DEFAULTS = {"count": DEFAULT_CLIENTS, "script": "article"}


@dataclass(frozen=True, slots=True)
class Request:
    """A run to be made, and what it has to reach."""

    server: Mapping[str, Any]
    groups: Sequence[Mapping[str, Any]]
    seed: int
    label: str
    client_processes: int | None = None
    objectives: Sequence[Objective] = ()

    @property
    def has_log(self) -> bool:
        """Whether every client plays a script: only these write the article's log."""
        return all(group.get("kind") == "script" for group in self.groups)


def server_of(
    model: str | None, server_id: int | None, target: str | None, options: Mapping[str, Any], more: Sequence[str]
) -> dict[str, Any]:
    """The run's `server`: a design with its options, a server of the lab, or the address of one that is not ours."""
    if server_id is None and target is None:
        return {"model": model or "sequential", **options, **dict(_option(text) for text in more)}
    flag = "--server" if target is None else "--target"
    if model is not None or options or more or (server_id is not None and target is not None):
        raise UsageError(f"{flag} is a running server; it takes no design and no options of its own")
    return {"id": server_id} if target is None else {"address": target}


def groups_of(flags: LoadFlags, more: Sequence[str]) -> list[dict[str, Any]]:
    """The client groups: the one of the flags, if any was given, and those written as JSON; else the article's."""
    first = flags.group()
    groups = [*([first] if first else []), *map(_group, more)]
    return groups or [{"kind": "script", **_SCRIPT_DEFAULTS}]


def objectives_of(texts: Sequence[str]) -> list[Objective]:
    """What the run has to reach."""
    try:
        return [Objective.parse(text) for text in texts]
    except ValueError as error:
        raise UsageError(f"--slo {error}") from error


def _option(text: str) -> tuple[str, Any]:
    """`workers=2` as a name and a value; a value that is no JSON is text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--option {text!r} should be KEY=VALUE")
    try:
        return name.replace("-", "_"), json.loads(value)
    except ValueError:
        return name.replace("-", "_"), value


def _value(name: str, value: Any) -> Any:
    if name in ("duration", "warm_up", "think"):
        return _seconds(f"--{name.replace('_', '-')}", value)
    return _steps(value) if name == "script" else value


def _seconds(flag: str, text: str) -> float:
    written = _SPAN.match(text)
    if written is None:
        raise UsageError(f"{flag} {text!r} should be a time such as 5s, 500ms or 2m")
    number, unit = written.groups()
    return float(number) * _SECONDS[unit]


def _group(text: str) -> dict[str, Any]:
    group = _parsed("--group", text.encode())
    if not isinstance(group, dict) or "kind" not in group:
        raise UsageError('--group must be an object with a kind, such as {"kind": "idle", "count": 100}')
    return group


def _steps(script: str) -> str | list[dict[str, Any]]:
    if script == "article":
        return script
    try:
        text = Path(script).read_bytes()
    except OSError as error:
        raise UsageError(f"--script {script}: {error.strerror}; it is `article` or a file") from error
    steps = _parsed(f"--script {script}", text)
    if not isinstance(steps, list):
        raise UsageError(f'--script {script}: must hold a list of steps, such as [{{"send": "^ab$"}}]')
    return steps


def _parsed(flag: str, text: bytes) -> Any:
    try:
        return strict_json.parse(text)
    except Problem as problem:
        raise UsageError(f"{flag}: {problem.detail}") from problem
