"""Recipes that repeat a run outside the browser: a REST body, curl, Python with httpx, and the command line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coreserver.models import MODELS
from webapp.recipes.command_line import command_line
from webapp.recipes.group_kinds import GROUP_KINDS
from webapp.schemas.run_spec import RUN_FIELDS

MAX_WAIT_S = 600  # the longest time that the lab waits for the end of a run before it responds


@dataclass(frozen=True)
class Recipe:
    """One way to repeat a run, as text to copy."""

    key: str
    title: str
    text: str


def recipes(base_url: str, config: Mapping[str, Any]) -> tuple[Recipe, ...]:
    """Return every way to repeat a run. Fields with their default value are left out.

    Args:
        base_url: URL of the lab, without a trailing slash.
        config: the run's body with all defaults filled in.
    """
    body = _shorten(config)
    return (
        Recipe("body", "REST body", json.dumps(body, indent=2)),
        Recipe("curl", "curl", _curl(base_url, body)),
        Recipe("httpx", "Python, with httpx", _httpx(base_url, body)),
        Recipe("cli", "Command line", command_line(base_url, body)),
    )


def _shorten(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body without fields that have their default value."""
    body: dict[str, Any] = {name: config[name] for name in RUN_FIELDS if config.get(name)}
    server = config["server"]
    model = MODELS.get(server.get("model", ""))
    body["server"] = _without_defaults(server, model.Config, "model") if model else dict(server)
    body["clients"] = [
        _without_defaults(group, GROUP_KINDS[group["kind"]], "kind", "count", "script") for group in config["clients"]
    ]
    return body


def _without_defaults(document: Mapping[str, Any], settings: Any, *keep: str) -> dict[str, Any]:
    defaults = {name: field.get_default() for name, field in settings.model_fields.items()}
    plain = {name: value.model_dump() if hasattr(value, "model_dump") else value for name, value in defaults.items()}
    return {name: value for name, value in document.items() if name in keep or value != plain.get(name, ...)}


def _curl(base_url: str, body: Mapping[str, Any]) -> str:
    url = shlex.quote(f"{base_url}/api/v1/runs?wait_s={MAX_WAIT_S}")
    return f"curl -sS -H 'Content-Type: application/json' {url} \\\n  -d {shlex.quote(json.dumps(body))}"


def _httpx(base_url: str, body: Mapping[str, Any]) -> str:
    return f"""\
import httpx

body = {body!r}

with httpx.Client(base_url={base_url!r}, timeout={MAX_WAIT_S + 10}) as lab:
    run = lab.post("/api/v1/runs", params={{"wait_s": {MAX_WAIT_S}}}, json=body).raise_for_status().json()
    report = lab.get(f"/api/v1/runs/{{run['id']}}/report").raise_for_status().json()

print(report["verdict"]["status"], report["run"]["sentence"])"""
