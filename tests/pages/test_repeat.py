"""What a run's page says about repeating it is short, and true."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from webapp.repeat import recipes
from webapp.schemas import RunSpec

BASE = "http://127.0.0.1:8000"


def filled_in(**body: Any) -> dict[str, Any]:
    """The body as the lab keeps it: every default filled in."""
    return RunSpec.model_validate(body).model_dump(mode="json")


def texts(config: dict[str, Any]) -> dict[str, str]:
    return {recipe.key: recipe.text for recipe in recipes(BASE, config)}


ARTICLE = {"kind": "script", "count": 3, "script": "article"}
POOL = {"model": "bounded_pool", "workers": 2}
BODIES: list[dict[str, Any]] = [
    {"server": POOL, "clients": [ARTICLE]},
    {"server": {"id": 4}, "clients": [ARTICLE], "label": "it is", "seed": 9},
    {
        "server": {**POOL, "name": "7", "work": {"kind": "sleep", "mean_ms": 5.0}},
        "clients": [{"kind": "script", "count": 2, "script": [{"send": "^a'$"}, {"expect": "b"}], "timeout_s": 1.0}],
    },
]


@pytest.mark.parametrize("body", BODIES)
def test_the_body_is_short_and_means_the_same(body: dict[str, Any]) -> None:
    config = filled_in(**body)
    shown = json.loads(texts(config)["body"])
    assert filled_in(**shown) == config
    assert "backlog" not in shown["server"]


@pytest.mark.parametrize("body", BODIES)
def test_the_python_lines_hold_the_same_body(body: dict[str, Any]) -> None:
    config = filled_in(**body)
    program = ast.parse(texts(config)["httpx"])
    [assigned] = [node.value for node in program.body if isinstance(node, ast.Assign)]
    assert filled_in(**ast.literal_eval(assigned)) == config


def test_the_command_line_names_what_is_not_at_its_default() -> None:
    line = "serverlab run --url http://127.0.0.1:8000 --model bounded_pool --workers 2 --clients 3 --script article"
    assert texts(filled_in(**BODIES[0]))["cli"] == line


def test_the_command_line_quotes_what_would_read_as_something_else() -> None:
    config = filled_in(
        server={"model": "sequential", "name": "7", "nodelay": False}, label="a b",
        clients=[{"kind": "script", "script": [{"send": "^a'$"}]}],
    )  # fmt: skip
    assert texts(config)["cli"].split(" |\n  ") == [
        """echo '[{"send": "^a'"'"'$"}]'""",
        "serverlab run --url http://127.0.0.1:8000 --model sequential --option 'name=\"7\"' --option nodelay=false "
        "--clients 1 --label 'a b' --script /dev/stdin",
    ]


@pytest.mark.parametrize("clients", [[ARTICLE, {**ARTICLE, "name": "two"}], [{**ARTICLE, "start_s": 1.0}]])
def test_there_is_no_command_line_for_what_it_cannot_say(clients: list[dict[str, Any]]) -> None:
    assert "cli" not in texts(filled_in(server=POOL, clients=clients))
