"""OpenAPI description: complete, in agreement with the responses, and readable offline."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest


@pytest.fixture(scope="module")
def description(shared_url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{shared_url}openapi.json").json()
    return found


def test_every_operation_lists_its_problems(description: dict[str, Any]) -> None:
    calls = {(method, path) for path, methods in description["paths"].items() for method in methods}
    assert {
        *(("get", "/api/v1/models"), ("post", "/api/v1/servers"), ("get", "/api/v1/servers/{server_id}")),
        *(("post", "/api/v1/servers/{server_id}/stop"), ("post", "/api/v1/servers/{server_id}/start")),
        *(("post", "/api/v1/runs"), ("patch", "/api/v1/runs/{run_id}"), ("get", "/api/v1/runs/{run_id}/events")),
        *(("get", "/api/v1/runs/{run_id}/connections.csv"), ("get", "/api/v1/runs/{run_id}/charts/{name}.{form}")),
        *(("get", "/api/v1/events"), ("get", "/healthz"), ("get", "/version")),
    } <= calls
    for path, methods in description["paths"].items():
        for method, call in methods.items():
            assert call["description"], (method, path)
            if path.startswith("/api/"):
                content = call["responses"]["422"]["content"]
                assert content["application/problem+json"]["schema"]["$ref"] == "#/components/schemas/ProblemDocument"


def test_every_reference_resolves(description: dict[str, Any]) -> None:
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', str(description).replace("'", '"')))
    assert names <= set(description["components"]["schemas"])
    assert "HTTPValidationError" not in description["components"]["schemas"]


def test_server_configs_have_discriminator(description: dict[str, Any]) -> None:
    body = description["paths"]["/api/v1/servers"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["discriminator"]["propertyName"] == "model"


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("/api/v1/models", "ModelList"),
        ("/api/v1/servers", "ServerList"),
        ("/api/v1/runs", "RunList"),
        ("/version", "Version"),
        ("/api/v1/runs/77", "ProblemDocument"),
    ],
)
def test_responses_match_description(shared_url: str, description: dict[str, Any], path: str, schema: str) -> None:
    described = description["components"]["schemas"][schema]
    answer = httpx.get(f"{shared_url.rstrip('/')}{path}").json()
    assert set(answer) == set(described["properties"])


def test_docs_page_loads_own_files_only(shared_url: str) -> None:
    page = httpx.get(f"{shared_url}docs")
    assert page.status_code == 200
    used = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert "/static/js/widgets/api_docs.js" in used
    for address in used:
        assert address.startswith(("/", "#")), address
        if address.startswith("/static/"):
            assert httpx.get(f"{shared_url.rstrip('/')}{address}").status_code == 200
    assert not re.search(r"<script(?![^>]*\ssrc=)[^>]*>", page.text)  # no inline script


def test_health_needs_no_database_or_thread(shared_url: str) -> None:
    assert httpx.get(f"{shared_url}healthz").json() == {"status": "ok"}
