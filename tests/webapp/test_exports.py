"""What a run can be taken away as: the report by its published schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from tests.support import wait_until
from tests.webapp.stories import LONG, QUICK, finished_run, script_run

GROUPS: list[dict[str, Any]] = [
    {"kind": "script", "count": 2, "script": QUICK},
    {"kind": "closed", "count": 2, "duration_s": 0.3, "warm_up_s": 0.1},
    {"kind": "open", "rate_per_s": 40, "duration_s": 0.3},
    {"kind": "idle", "count": 1, "hold_s": 0.2},
    {"kind": "slow_writer", "count": 1, "duration_s": 0.3, "bytes_per_s": 100},
    {"kind": "slow_reader", "count": 1, "duration_s": 0.3, "bytes_per_s": 1000},
    {"kind": "reset", "count": 1},
    {"kind": "half_close", "count": 1},
    {"kind": "flood", "rate_per_s": 20, "duration_s": 0.2},
]


@pytest.fixture(scope="module")
def shared(shared_url: str) -> Iterator[httpx.Client]:
    fresh = httpx.Limits(max_keepalive_connections=0)  # a connection that is kept would pass for left behind
    with httpx.Client(base_url=shared_url, timeout=30, trust_env=False, limits=fresh) as client:
        yield client


@pytest.fixture(scope="module")
def validator(shared: httpx.Client) -> jsonschema.Draft202012Validator:
    answer = shared.get("/api/v1/report.schema.json")
    assert answer.headers["content-type"] == "application/schema+json"
    return jsonschema.Draft202012Validator(answer.json(), format_checker=jsonschema.FormatChecker())


def report_of(api: httpx.Client, run: dict[str, Any]) -> Any:
    return api.get(run["links"]["report"]).json()


def test_a_run_of_every_kind_of_group_is_as_the_schema_says(
    shared: httpx.Client, validator: jsonschema.Draft202012Validator
) -> None:
    body = {"server": {"model": "asyncio"}, "clients": GROUPS}
    run = shared.post("/api/v1/runs?wait_s=30", json=body).json()
    report = report_of(shared, run)
    validator.validate(report)
    assert [group["kind"] for group in report["groups"]] == [group["kind"] for group in GROUPS]


def test_runs_that_ended_otherwise_are_as_the_schema_says(
    shared: httpx.Client, validator: jsonschema.Draft202012Validator
) -> None:
    run = shared.post("/api/v1/runs", json=script_run({"model": "sequential"}, LONG)).json()
    wait_until(lambda: "in_service" in str(shared.get(run["links"]["self"]).json()["progress"]), "it has begun")
    shared.post(run["links"]["cancel"])
    wait_until(lambda: shared.get(run["links"]["report"]).status_code == 200, "its report is there")
    report = report_of(shared, run)
    validator.validate(report)
    assert report["run"]["state"] == "cancelled"


def test_the_report_of_a_pool_with_theory_is_as_the_schema_says(
    shared: httpx.Client, validator: jsonschema.Draft202012Validator
) -> None:
    work = {"kind": "sleep", "mean_ms": 2, "distribution": "exponential", "per": "connection"}
    group = {"kind": "open", "rate_per_s": 100, "duration_s": 0.5}
    body = {"server": {"model": "bounded_pool", "work": work}, "clients": [group]}
    report = report_of(shared, shared.post("/api/v1/runs?wait_s=30", json=body).json())
    validator.validate(report)
    assert report["theory"]["arrivals"] > 10


def test_the_description_of_the_api_has_the_report(shared: httpx.Client) -> None:
    described = shared.get("/openapi.json").json()
    answer = described["paths"]["/api/v1/runs/{run_id}/report"]["get"]["responses"]["200"]
    assert answer["content"]["application/json"]["schema"]["$ref"] == "#/components/schemas/Report"
    parts = described["components"]["schemas"]
    assert parts["Totals"]["properties"]["duration_s"]["description"]
    run = report_of(shared, finished_run(shared))
    assert set(run) == set(parts["Report"]["properties"])
