"""The recipes of a run's page are short and repeat the same run."""

from __future__ import annotations

import ast
import json
import shlex
from typing import Any

import pytest

from webapp.recipes.recipes import recipes
from webapp.schemas.run_spec import RunSpec

BASE = "http://127.0.0.1:8000"


def filled_in(**body: Any) -> dict[str, Any]:
    """Return the body as the lab stores it, with all defaults filled in."""
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
    {
        "server": {"address": "127.0.0.1:9000"},
        "clients": [{"kind": "closed", "think": "exponential"}, {"kind": "open", "rate_per_s": 7.0}, {"kind": "flood"}],
        "note": "two\nlines", "client_processes": 2, "client_cpus": [0],
    },
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES)
def test_short_body_means_the_same(body: dict[str, Any]) -> None:
    config = filled_in(**body)
    shown = json.loads(texts(config)["body"])
    assert filled_in(**shown) == config
    assert "backlog" not in shown["server"]


@pytest.mark.parametrize("body", BODIES)
def test_python_recipe_has_the_body(body: dict[str, Any]) -> None:
    config = filled_in(**body)
    program = ast.parse(texts(config)["httpx"])
    [assigned] = [node.value for node in program.body if isinstance(node, ast.Assign)]
    assert filled_in(**ast.literal_eval(assigned)) == config


@pytest.mark.parametrize("body", BODIES)
def test_curl_recipe_has_the_body(body: dict[str, Any]) -> None:
    config = filled_in(**body)
    words = shlex.split(texts(config)["curl"])
    assert f"{BASE}/api/v1/runs?wait_s=600" in words
    assert filled_in(**json.loads(words[words.index("-d") + 1])) == config
