"""What `serverlab run` was asked for on its command line, as the body of a run; checked as far as needs no lab."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from webapp.objectives import Objective
from webapp.parsing import parse_json
from webapp.problems import Problem
from webapp.recipes.flags import FLAG_FIELDS

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
    stages: str | None = None
    ramp: bool | None = None
    arrivals: str | None = None
    duration: str | None = None
    warm_up: str | None = None
    think: str | None = None
    think_spread: str | None = None
    message_bytes: int | None = None
    messages_per_connection: int | None = None
    timeout: str | None = None

    def given(self) -> dict[str, Any]:
        """Those that were given."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def group(self) -> dict[str, Any] | None:
        """The group they describe, what was not given left to its default; None when none was given."""
        given = self.given()
        if not given:
            return None
        kind = "open" if given.keys() & _ARRIVING else "closed" if given.keys() & _LASTING else "script"
        if strangers := [name for name in given if name not in FLAG_FIELDS[kind]]:
            flag = f"--{strangers[0].replace('_', '-')}"
            raise UsageError(f"{flag} does not go with {_ABOUT[kind]}")
        if kind == "open" and self.rate is None and self.stages is None:
            flag = next(f"--{name}" for name in given if name in _ARRIVING)
            raise UsageError(f"{flag} needs --rate or --stages")
        group = {FLAG_FIELDS[kind][name]: _value(name, value) for name, value in given.items()}
        return {"kind": kind, **(_SCRIPT_DEFAULTS if kind == "script" else {}), **group}


_ARRIVING = {"rate", "stages", "ramp", "arrivals"}
_LASTING = {"duration", "warm_up", "think", "think_spread", "message_bytes", "messages_per_connection"}
_ABOUT = {
    "script": "a script",
    "closed": "clients that wait for their replies (--duration and its like)",
    "open": "arrivals at a --rate or in --stages",
}
_SCRIPT_DEFAULTS = {"count": DEFAULT_CLIENTS, "script": "article"}


@dataclass(frozen=True, slots=True)
class Request:
    """A run to be made, as the body that REST takes, and what it has to reach."""

    body: Mapping[str, Any]
    objectives: Sequence[Objective] = ()

    @property
    def has_log(self) -> bool:
        """Whether every client plays a script: only these write the article's log. Of a body that the lab took."""
        return all(group.get("kind") == "script" for group in self.body["clients"])


def strict(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same body, if JSON can hold all of it: numbers that are some, and text that is Unicode."""
    try:
        parsed: Mapping[str, Any] = parse_json(json.dumps(body).encode())
    except Problem as problem:
        raise UsageError(_told(problem)) from problem
    return parsed


def spec_of(path: str, others: Mapping[str, Any]) -> dict[str, Any]:
    """The body of `--spec`: a JSON file, or standard input for `-`.

    Args:
        others: the flags that would say a part of it, by name; None where one was not given.
    """
    if given := [name for name, value in others.items() if value not in (None, [])]:
        raise UsageError(f"--spec is the whole run: --{given[0].replace('_', '-')} has no place beside it")
    body = _parsed(f"--spec {path}", _bytes_of("--spec", path, "it is a file with a run's body as JSON, or -"))
    if not isinstance(body, dict):
        raise UsageError(f"--spec {path}: must hold an object, the body of a run as REST takes it")
    return body


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


def cpus_of(text: str | None) -> list[int] | None:
    """`0,2` as the numbers of CPUs; None where there was no such flag."""
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,4}(,\d{1,4})*", text, re.ASCII):
        raise UsageError(f"--client-cpus {text!r} should be numbers with commas between them, such as 0,1")
    return [int(number) for number in text.split(",")]


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
    if name in ("duration", "warm_up", "think", "timeout"):
        return _seconds(f"--{name.replace('_', '-')}", value)
    if name == "stages":
        return [_stage(part) for part in value.split(",")]
    return _steps(value) if name == "script" else value


def _seconds(flag: str, text: str) -> float:
    written = _SPAN.match(text)
    if written is None:
        raise UsageError(f"{flag} {text!r} should be a time such as 5s, 500ms or 2m")
    number, unit = written.groups()
    return float(number) * _SECONDS[unit]


def _stage(text: str) -> dict[str, float]:
    """`100:5s` as arrivals per second and how long."""
    rate, _, span = text.partition(":")
    try:
        return {"rate_per_s": float(rate), "duration_s": _seconds("--stages", span)}
    except ValueError:
        raise UsageError(f"--stages {text!r} should be RATE:TIME, such as 100:5s; commas between stages") from None


def _group(text: str) -> dict[str, Any]:
    group = _parsed("--group", text.encode(errors="surrogateescape"))
    if not isinstance(group, dict) or "kind" not in group:
        raise UsageError('--group must be an object with a kind, such as {"kind": "idle", "count": 100}')
    return group


def _steps(script: str) -> str | list[dict[str, Any]]:
    if script == "article":
        return script
    steps = _parsed(f"--script {script}", _bytes_of("--script", script, "it is `article` or a file"))
    if not isinstance(steps, list):
        raise UsageError(f'--script {script}: must hold a list of steps, such as [{{"send": "^ab$"}}]')
    return steps


def _bytes_of(flag: str, path: str, what: str) -> bytes:
    if path == "-" and sys.stdin is None:  # after `<&-`
        raise UsageError(f"{flag} -: there is no standard input")
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{flag} {path}: {error.strerror}; {what}") from error


def _parsed(flag: str, text: bytes) -> Any:
    try:
        return parse_json(text)
    except Problem as problem:
        raise UsageError(f"{flag}: {_told(problem)}") from problem


def _told(problem: Problem) -> str:
    return "; ".join(f"{error.field}: {error.message}" for error in problem.errors) or problem.detail
