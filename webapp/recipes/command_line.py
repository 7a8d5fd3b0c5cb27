"""The shell command that repeats a run: `serverlab run` with flags, or with the run's body if flags are not enough."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from webapp.recipes.flags import DESIGN_FLAGS, FLAG_FIELDS

RUN_FLAGS = ("seed", "label", "note", "client_processes", "client_cpus")
_END = "END"  # no line of an indented JSON document is equal to this


def command_line(base_url: str, body: Mapping[str, Any]) -> str:
    """Return the lines of a shell that repeat the run.

    Args:
        base_url: URL of the lab, without a trailing slash.
        body: a validated body of `POST /api/v1/runs`; fields with their default value may be missing.
    """
    start = ["serverlab", "run", "--url", base_url]
    clients = _group_words(body["clients"])
    if clients is None:
        return f"{shlex.join([*start, '--spec', '-'])} <<'{_END}'\n{json.dumps(body, indent=2)}\n{_END}"
    return shlex.join([*start, *_server_words(body["server"]), *clients, *_run_words(body)])


def _server_words(server: Mapping[str, Any]) -> list[str]:
    if "id" in server:
        return ["--server", str(server["id"])]
    if "address" in server:
        return ["--target", server["address"]]
    words = ["--model", server["model"]]
    for name, value in server.items():
        if name in DESIGN_FLAGS:
            words += [_flag(name), str(value)]
        elif name != "model":
            words += ["--option", f"{name}={_option_value(value)}"]
    return words


def _group_words(groups: Sequence[Mapping[str, Any]]) -> list[str] | None:
    """Return the flags of the only group; None if there are several, or it has a setting without a flag."""
    group = dict(groups[0])
    flags = {field: flag for flag, field in FLAG_FIELDS.get(group.pop("kind"), {}).items()}
    if len(groups) > 1 or not group.keys() <= flags.keys() or isinstance(group.get("script"), list):
        return None
    words: list[str] = []
    for field, value in group.items():
        flag = flags[field]
        words += [_flag(flag)] if value is True else [_flag(flag), _FORMATS.get(flag, _plain)(value)]
    return words


def _run_words(body: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for name in RUN_FLAGS:
        if name in body:
            words += [_flag(name), _cpus(body[name]) if name == "client_cpus" else str(body[name])]
    return words


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


# --- values as the flags read them -----------------------------------------------------------------------------------


def _option_value(value: Any) -> str:
    """Return the value as `--option` reads it: JSON, or else text. Text that is valid JSON is quoted."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except ValueError:
        return value
    return json.dumps(value)


def _plain(value: Any) -> str:
    """Format a number without an exponent and without a trailing `.0`."""
    if not isinstance(value, float):
        return str(value)
    text = f"{Decimal(repr(value)):f}"
    return text.removesuffix(".0")


def _span(seconds: float) -> str:
    return f"{_plain(seconds)}s"


def _stages(stages: Sequence[Mapping[str, float]]) -> str:
    return ",".join(f"{_plain(stage['rate_per_s'])}:{_span(stage['duration_s'])}" for stage in stages)


def _cpus(cpus: Sequence[int]) -> str:
    return ",".join(map(str, cpus))


_FORMATS: Mapping[str, Callable[[Any], str]] = {
    "duration": _span,
    "warm_up": _span,
    "think": _span,
    "timeout": _span,
    "stages": _stages,
}
