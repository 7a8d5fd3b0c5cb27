"""Convert the flags of `serverlab run` to the body of a run, and check what can be checked without a lab."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coreserver.reports.objectives import Objective
from webapp.cli.exit_codes import UsageError
from webapp.cli.run_flags import LoadFlags, RunFlags, ServerFlags, given_flags
from webapp.parsing import parse_json
from webapp.problems import Problem
from webapp.recipes.flags import FLAG_FIELDS
from webapp.schemas.run_spec import RUN_FIELDS

DEFAULT_CLIENTS = 3  # of a script; with a pool of two workers, one client has to wait
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?\Z", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}
_OPEN_FLAGS = {"rate", "stages", "ramp", "arrivals"}
_CLOSED_FLAGS = {"duration", "warm_up", "think", "think_spread", "message_bytes", "messages_per_connection"}
_KIND_NAMES = {
    "script": "a script",
    "closed": "clients that wait for their replies (--duration and related flags)",
    "open": "arrivals at a --rate or in --stages",
}
_SCRIPT_DEFAULTS = {"count": DEFAULT_CLIENTS, "script": "article"}


@dataclass(frozen=True, slots=True)
class Request:
    """A run to create: the body that the REST API accepts, and the objectives."""

    body: Mapping[str, Any]
    objectives: Sequence[Objective] = ()

    @property
    def has_log(self) -> bool:
        """Whether every client executes a script: only scripts write the article's log."""
        return all(group.get("kind") == "script" for group in self.body["clients"])


def build_request(server: ServerFlags, load: LoadFlags, run: RunFlags) -> Request:
    """Build the request that the flags describe.

    Raises:
        UsageError: flags contradict each other, or a value or a file is not valid.
    """
    fields = {name: value for name, value in given_flags(run).items() if name in RUN_FIELDS}
    if run.spec is not None:
        body = read_spec(run.spec, {**given_flags(server), **given_flags(load), **fields})
    else:
        if run.client_cpus is not None:
            fields["client_cpus"] = parse_cpus(run.client_cpus)
        body = {"server": build_server(server), "clients": build_groups(load), **fields}
    return Request(_check_json(body), parse_objectives(run.slo or []))


def read_spec(path: str, others: Mapping[str, Any]) -> dict[str, Any]:
    """Read the body of `--spec` from a JSON file, or from standard input for `-`.

    Args:
        others: given flags that describe a part of the run; they cannot be combined with --spec.
    """
    if others:
        raise UsageError(f"--spec is the whole run: it cannot be combined with {_flag(next(iter(others)))}")
    body = _parse(f"--spec {path}", _read("--spec", path, "use a file with the body of a run as JSON, or -"))
    if not isinstance(body, dict):
        raise UsageError(f"--spec {path}: must contain an object, the body of a run as the REST API accepts it")
    return body


def build_server(flags: ServerFlags) -> dict[str, Any]:
    """Return the run's `server`: a design with its options, the id of a server of the lab, or an address."""
    options, more = flags.options(), flags.option or []
    if flags.server is None and flags.target is None:
        return {"model": flags.model or "sequential", **options, **dict(_option(text) for text in more)}
    flag, other = ("--server", "--target") if flags.target is None else ("--target", "--server")
    if flags.model is not None or options or more or (flags.server is not None and flags.target is not None):
        raise UsageError(
            f"{flag} selects a running server: it cannot be combined with {other}, --model or options of a design"
        )
    return {"id": flags.server} if flags.target is None else {"address": flags.target}


def build_groups(flags: LoadFlags) -> list[dict[str, Any]]:
    """Return the group that the flags describe, if any, and those given as JSON; by default the article's clients."""
    first = _build_group({name: value for name, value in given_flags(flags).items() if name != "group"})
    groups = [*([first] if first else []), *map(_group, flags.group or [])]
    return groups or [{"kind": "script", **_SCRIPT_DEFAULTS}]


def _build_group(flags: Mapping[str, Any]) -> dict[str, Any] | None:
    if not flags:
        return None
    kind = "open" if flags.keys() & _OPEN_FLAGS else "closed" if flags.keys() & _CLOSED_FLAGS else "script"
    if others := [name for name in flags if name not in FLAG_FIELDS[kind]]:
        raise UsageError(f"{_flag(others[0])} cannot be combined with {_KIND_NAMES[kind]}")
    if kind == "open" and not flags.keys() & {"rate", "stages"}:
        raise UsageError(f"{_flag(next(name for name in flags if name in _OPEN_FLAGS))} needs --rate or --stages")
    group = {FLAG_FIELDS[kind][name]: _value(name, value) for name, value in flags.items()}
    return {"kind": kind, **(_SCRIPT_DEFAULTS if kind == "script" else {}), **group}


def parse_cpus(text: str) -> list[int]:
    """Parse `0,2` as CPU numbers."""
    if not re.fullmatch(r"\d{1,4}(,\d{1,4})*", text, re.ASCII):
        raise UsageError(f"--client-cpus {text!r} must be CPU numbers separated by commas, such as 0,1")
    return [int(number) for number in text.split(",")]


def parse_objectives(texts: Sequence[str]) -> list[Objective]:
    """Parse the values of --slo."""
    try:
        return [Objective.parse(text) for text in texts]
    except ValueError as error:
        raise UsageError(f"--slo {error}") from error


def _check_json(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body after a round trip through strict JSON: flags can contain NaN, or text that is not Unicode."""
    try:
        parsed: Mapping[str, Any] = parse_json(json.dumps(body).encode())
    except Problem as problem:
        raise UsageError(_reasons(problem)) from problem
    return parsed


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _option(text: str) -> tuple[str, Any]:
    """Parse `workers=2` as a name and a JSON value; a value that is not JSON is text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--option {text!r} must be KEY=VALUE")
    try:
        return name.replace("-", "_"), json.loads(value)
    except ValueError:
        return name.replace("-", "_"), value


def _value(name: str, value: Any) -> Any:
    if name in ("duration", "warm_up", "think", "timeout"):
        return _seconds(_flag(name), value)
    if name == "stages":
        return [_stage(part) for part in value.split(",")]
    return _steps(value) if name == "script" else value


def _seconds(flag: str, text: str) -> float:
    written = _SPAN.match(text)
    if written is None:
        raise UsageError(f"{flag} {text!r} must be a time such as 5s, 500ms or 2m")
    number, unit = written.groups()
    return float(number) * _SECONDS[unit]


def _stage(text: str) -> dict[str, float]:
    """Parse `100:5s` as a rate and a duration."""
    rate, _, span = text.partition(":")
    try:
        return {"rate_per_s": float(rate), "duration_s": _seconds("--stages", span)}
    except ValueError:
        raise UsageError(
            f"--stages {text!r} must be RATE:TIME pairs separated by commas, such as 100:5s,400:5s"
        ) from None


def _group(text: str) -> dict[str, Any]:
    group = _parse("--group", text.encode(errors="surrogateescape"))
    if not isinstance(group, dict) or "kind" not in group:
        raise UsageError('--group must be an object with a kind, such as {"kind": "idle", "count": 100}')
    return group


def _steps(script: str) -> str | list[dict[str, Any]]:
    if script == "article":
        return script
    steps = _parse(f"--script {script}", _read("--script", script, "use `article` or a file"))
    if not isinstance(steps, list):
        raise UsageError(f'--script {script}: must contain a list of steps, such as [{{"send": "^ab$"}}]')
    return steps


def _read(flag: str, path: str, hint: str) -> bytes:
    if path == "-" and sys.stdin is None:  # after `<&-`
        raise UsageError(f"{flag} -: there is no standard input")
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{flag} {path}: {error.strerror}; {hint}") from error


def _parse(flag: str, text: bytes) -> Any:
    try:
        return parse_json(text)
    except Problem as problem:
        raise UsageError(f"{flag}: {_reasons(problem)}") from problem


def _reasons(problem: Problem) -> str:
    return "; ".join(f"{error.field}: {error.message}" for error in problem.errors) or problem.detail
