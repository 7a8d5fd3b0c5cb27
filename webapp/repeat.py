"""How to repeat a run from outside the browser: the REST body, curl, httpx and the command line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coreserver.models import MODELS
from webapp.group_forms import KINDS

FLAGS = ("workers", "queue_limit", "when_full")  # options of a design that `serverlab run` has flags for


@dataclass(frozen=True)
class Recipe:
    """One way to do it, ready to be copied."""

    key: str
    title: str
    text: str


def recipes(base_url: str, config: Mapping[str, Any]) -> tuple[Recipe, ...]:
    """Every way that can express this run, in few words: what stands at its default is left out.

    Args:
        base_url: of the lab, without a slash at its end.
        config: the run's body, defaults filled in.
    """
    body = _short(config)
    found = [
        Recipe("body", "REST body", json.dumps(body, indent=2)),
        Recipe("curl", "curl", _curl(base_url, body)),
        Recipe("httpx", "Python, with httpx", _httpx(base_url, body)),
    ]
    line = _command_line(base_url, body)
    return (*found, Recipe("cli", "Command line", line)) if line else tuple(found)


def _short(config: Mapping[str, Any]) -> dict[str, Any]:
    """The body without what it would say by leaving it out."""
    body: dict[str, Any] = {name: config[name] for name in ("label", "note", "seed") if config.get(name)}
    server = config["server"]
    model = MODELS.get(server.get("model", ""))
    body["server"] = _without_defaults(server, model.Config, "model") if model else dict(server)
    body["clients"] = [
        _without_defaults(group, KINDS[group["kind"]], "kind", "count", "script") for group in config["clients"]
    ]
    return body


def _without_defaults(document: Mapping[str, Any], settings: Any, *keep: str) -> dict[str, Any]:
    defaults = {name: field.get_default() for name, field in settings.model_fields.items()}
    plain = {name: value.model_dump() if hasattr(value, "model_dump") else value for name, value in defaults.items()}
    return {name: value for name, value in document.items() if name in keep or value != plain.get(name, ...)}


def _curl(base_url: str, body: Mapping[str, Any]) -> str:
    url = shlex.quote(f"{base_url}/api/v1/runs?wait_s=60")
    return f"curl -sS -H 'Content-Type: application/json' {url} \\\n  -d {shlex.quote(json.dumps(body))}"


def _httpx(base_url: str, body: Mapping[str, Any]) -> str:
    return f"""\
import httpx

body = {body!r}

with httpx.Client(base_url={base_url!r}, timeout=70) as lab:
    run = lab.post("/api/v1/runs", params={{"wait_s": 60}}, json=body).raise_for_status().json()
    report = lab.get(f"/api/v1/runs/{{run['id']}}/report").raise_for_status().json()

print(report["verdict"]["status"], report["run"]["sentence"])"""


def _command_line(base_url: str, body: Mapping[str, Any]) -> str:
    """The `serverlab run` that does the same; empty where its options cannot say it."""
    if len(body["clients"]) != 1 or not body["clients"][0].keys() <= {"kind", "count", "script"}:
        return ""
    group, server = body["clients"][0], dict(body["server"])
    words = ["serverlab", "run", "--url", base_url]
    if "id" in server:
        words += ["--server", str(server.pop("id"))]
    elif "address" in server:
        words += ["--target", server.pop("address")]
    else:
        words += ["--model", server.pop("model")]
    for name, value in server.items():
        if name in FLAGS:
            words += [f"--{name.replace('_', '-')}", str(value)]
        else:
            words += ["--option", f"{name}={_option_value(value)}"]
    words += ["--clients", str(group["count"])]
    for name in ("seed", "label"):
        words += [f"--{name}", str(body[name])] if name in body else []
    if group["script"] == "article":
        return shlex.join([*words, "--script", "article"])
    return f"echo {shlex.quote(json.dumps(group['script']))} |\n  {shlex.join([*words, '--script', '/dev/stdin'])}"


def _option_value(value: Any) -> str:
    """The value as `--option` reads it: JSON, and otherwise text; a text that would read as JSON is quoted."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except ValueError:
        return value
    return json.dumps(value)
