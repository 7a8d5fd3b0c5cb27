"""The shell command that repeats a run: a real `sh` splits it, and `serverlab run` reads the same run from it."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from coreserver.models import MODELS
from tests.support.shell import APP
from webapp.cli import run
from webapp.cli.run_body import Request
from webapp.recipes.recipes import recipes
from webapp.schemas.run_spec import RunSpec

BASE = "http://127.0.0.1:8000"
CPU = min(os.sched_getaffinity(0))
# Replaces the command: prints its arguments, each followed by a NUL, then its standard input.
SHELL = """serverlab() { printf '%s\\0' "$@"; printf '\\0'; cat; }\n"""

SLEEP = {"kind": "sleep", "mean_ms": 5.0, "distribution": "exponential", "per": "connection"}
SERVERS: list[dict[str, Any]] = [
    *({"model": model} for model in MODELS),
    {"model": "bounded_pool", "workers": 2, "queue_limit": 0, "when_full": "refuse", "name": "7", "work": SLEEP},
    {"model": "elastic_pool", "idle_timeout_s": None, "nodelay": False, "placement": "process", "cpus": [CPU]},
    {"id": 4},
    {"address": "127.0.0.1:9000"},
]
STAGES = [{"rate_per_s": 0.0, "duration_s": 0.5}, {"rate_per_s": 1e-05, "duration_s": 12.25}]
GROUPS: list[dict[str, Any]] = [
    {"kind": "script", "count": 3},
    {"kind": "script", "script": [{"send": "^a'$\\\n`id`"}, {"wait_s": 0.1}, {"send_hex": "00ff"}, {"expect": "b"}]},
    {"kind": "closed", "think_s": 1e-07, "think": "exponential", "warm_up_s": 0.5, "timeout_s": 2.0},
    {"kind": "closed", "count": 64, "duration_s": 90.0, "message_bytes": 1, "messages_per_connection": 9},
    {"kind": "open", "rate_per_s": 200.0, "arrivals": "constant", "messages_per_connection": 2},
    {"kind": "open", "stages": STAGES, "ramp": True, "warm_up_s": 0.1, "message_bytes": 100},
    {"kind": "closed", "start_s": 1.0, "name": "late"},
    {"kind": "idle", "count": 100, "hold_s": 2.0},
    {"kind": "slow_writer", "bytes_per_s": 3.5},
    {"kind": "slow_reader", "message_bytes": 100},
    {"kind": "reset", "after_bytes": 0},
    {"kind": "half_close", "message_bytes": 7},
    {"kind": "flood", "rate_per_s": 50.0, "duration_s": 1.0},
]
EVERYTHING = {"seed": 9, "label": "-x", "note": "it's\ntwo lines", "client_processes": 2, "client_cpus": [CPU]}


def repeated(config: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the arguments of the command, and the run it would request, with all defaults filled in."""
    (text,) = (recipe.text for recipe in recipes(BASE, config) if recipe.key == "cli")
    said = subprocess.run(["sh", "-c", SHELL + text], stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout
    words, _, read = said.partition(b"\0\0")
    arguments = [word.decode() for word in words.split(b"\0")]
    asked: list[Request] = []

    def note_down(request: Request, *_: Any, **__: Any) -> int:
        asked.append(request)
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "execute_request", note_down)
        ended = CliRunner().invoke(APP, arguments, input=read)
    assert ended.exit_code == 0, ended.output
    return arguments, RunSpec.model_validate(asked[0].body).model_dump(mode="json")


def filled_in(body: dict[str, Any]) -> dict[str, Any]:
    return RunSpec.model_validate(body).model_dump(mode="json")


@pytest.mark.parametrize("server", SERVERS, ids=str)
def test_every_server_is_repeated(server: dict[str, Any]) -> None:
    config = filled_in({"server": server, "clients": [GROUPS[0]]})
    arguments, again = repeated(config)
    assert again == config
    assert "--spec" not in arguments


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group["kind"])
def test_every_kind_of_group_is_repeated(group: dict[str, Any]) -> None:
    config = filled_in({"server": SERVERS[0], "clients": [group], **EVERYTHING})
    arguments, again = repeated(config)
    assert again == config
    assert arguments[:4] == ["run", "--url", BASE, *arguments[3:4]]
    plain = group["kind"] in ("script", "closed", "open") and "start_s" not in group and "script" not in group
    assert ("--spec" in arguments) is not plain


def test_command_quotes_ambiguous_values() -> None:
    server = {"model": "bounded_pool", "workers": 2, "name": "7", "nodelay": False}
    config = filled_in({"server": server, "clients": [{"kind": "script", "count": 3}], "label": "a b"})
    (text,) = (recipe.text for recipe in recipes(BASE, config) if recipe.key == "cli")
    assert text == (
        "serverlab run --url http://127.0.0.1:8000 --model bounded_pool --option 'name=\"7\"' "
        "--option nodelay=false --workers 2 --clients 3 --script article --label 'a b'"
    )


def test_run_without_flags_is_a_document() -> None:
    groups = [{"kind": "open", "rate_per_s": 5.0, "name": "probe"}, {"kind": "idle", "count": 100}]
    config = filled_in({"server": {"id": 4}, "clients": groups})
    (text,) = (recipe.text for recipe in recipes(BASE, config) if recipe.key == "cli")
    first, *body, last = text.splitlines()
    assert (first, last) == (f"serverlab run --url {BASE} --spec - <<'END'", "END")
    assert '"count": 100,' in {line.strip() for line in body}


@settings(max_examples=20)
@given(
    st.sampled_from(SERVERS),
    st.lists(st.sampled_from(GROUPS), min_size=1, max_size=3),
    st.fixed_dictionaries(
        {},
        optional={
            "seed": st.integers(0, 2**53 - 1),
            "label": st.text("ab .:-_", max_size=20),
            "note": st.text("ab'\"\\$`!-\n END", max_size=30),
        },
    ),
)
def test_any_run_is_repeated(server: dict[str, Any], groups: list[dict[str, Any]], rest: dict[str, Any]) -> None:
    named = [{**group, "name": f"g{number}"} for number, group in enumerate(groups)]
    config = filled_in({"server": server, "clients": named if len(named) > 1 else groups, **rest})
    assert repeated(config)[1] == config
