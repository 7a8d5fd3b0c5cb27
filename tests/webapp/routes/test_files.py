"""Downloads of a run: report, trace, CSV and histogram."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from tests.support.api_steps import LONG, QUICK, finished_run, script_run
from tests.support.servers import wait_until
from tests.webapp.exports.test_perfetto_trace import check_nesting, tracks_of
from webapp.serving import embedded
from webapp.settings import Settings

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
    fresh = httpx.Limits(max_keepalive_connections=0)  # an open connection would count as a leak
    with httpx.Client(base_url=shared_url, timeout=30, trust_env=False, limits=fresh) as client:
        yield client


@pytest.fixture(scope="module")
def validator(shared: httpx.Client) -> jsonschema.Draft202012Validator:
    answer = shared.get("/api/v1/report.schema.json")
    assert answer.headers["content-type"] == "application/schema+json"
    return jsonschema.Draft202012Validator(answer.json(), format_checker=jsonschema.FormatChecker())


def report_of(api: httpx.Client, run: dict[str, Any]) -> Any:
    return api.get(run["links"]["report"]).json()


def test_report_of_every_group_kind_is_valid(shared: httpx.Client, validator: jsonschema.Draft202012Validator) -> None:
    body = {"server": {"model": "asyncio"}, "clients": GROUPS}
    run = shared.post("/api/v1/runs?wait_s=30", json=body).json()
    report = report_of(shared, run)
    validator.validate(report)
    assert [group["kind"] for group in report["groups"]] == [group["kind"] for group in GROUPS]
    file = shared.get(run["links"]["report_json"])
    validator.validate(file.json())
    answer = shared.post("/api/v1/runs/import", content=file.content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text  # the figures agree with the records
    for slices in tracks_of(shared.get(run["links"]["trace"]).json()["traceEvents"]).values():
        check_nesting(slices)


def test_report_of_incomplete_run_is_valid(shared: httpx.Client, validator: jsonschema.Draft202012Validator) -> None:
    run = shared.post("/api/v1/runs", json=script_run({"model": "sequential"}, LONG)).json()
    wait_until(lambda: "in_service" in str(shared.get(run["links"]["self"]).json()["progress"]), "the run has begun")
    shared.post(run["links"]["cancel"])
    wait_until(lambda: shared.get(run["links"]["report"]).status_code == 200, "the report is stored")
    report = report_of(shared, run)
    validator.validate(report)
    assert report["run"]["state"] == "cancelled"


def test_report_of_external_server_is_valid(tmp_path: Path, validator: jsonschema.Draft202012Validator) -> None:
    settings = Settings(port=0, data_dir=tmp_path / "data", allow_target=("127.0.0.1:1024-65535",))
    with embedded(settings) as url, httpx.Client(base_url=url, timeout=30, trust_env=False) as api:
        server = api.post("/api/v1/servers", json={"model": "asyncio"}).json()
        elsewhere = {"address": f"127.0.0.1:{server['address']['port']}"}
        report = report_of(api, api.post("/api/v1/runs?wait_s=30", json=script_run(elsewhere)).json())
        validator.validate(report)
        assert (report["server"]["model"], report["server"]["cpu_s"]) == ("external", None)
        api.post(f"{server['links']['self']}/stop")
        report = report_of(api, api.post("/api/v1/runs?wait_s=30", json=script_run(elsewhere)).json())
        validator.validate(report)
        assert (report["run"]["state"], report["run"]["failure"]) == ("failed", "could_not_connect")


def test_report_with_theory_is_valid(shared: httpx.Client, validator: jsonschema.Draft202012Validator) -> None:
    work = {"kind": "sleep", "mean_ms": 2, "distribution": "exponential", "per": "connection"}
    group = {"kind": "open", "rate_per_s": 100, "duration_s": 0.5}
    body = {"server": {"model": "bounded_pool", "work": work}, "clients": [group]}
    report = report_of(shared, shared.post("/api/v1/runs?wait_s=30", json=body).json())
    validator.validate(report)
    assert report["theory"]["arrivals"] > 10


def test_openapi_contains_report(shared: httpx.Client) -> None:
    described = shared.get("/openapi.json").json()
    answer = described["paths"]["/api/v1/runs/{run_id}/report"]["get"]["responses"]["200"]
    assert answer["content"]["application/json"]["schema"]["$ref"] == "#/components/schemas/Report"
    parts = described["components"]["schemas"]
    assert parts["Totals"]["properties"]["duration_s"]["description"]
    run = report_of(shared, finished_run(shared))
    assert set(run) == set(parts["Report"]["properties"])


def test_run_exports_as_trace(shared: httpx.Client) -> None:
    run = finished_run(shared, count=2)
    answer = shared.get(f"{run['links']['self']}/trace")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == f'attachment; filename="run-{run["id"]}-trace.json"'
    trace = answer.json()
    assert trace["otherData"]["messages_shown_of_each_connection"] is None
    assert {event["ph"] for event in trace["traceEvents"]} == {"M", "X", "C"}


def test_connection_table_is_strict_csv(shared: httpx.Client) -> None:
    run = finished_run(shared, count=3)
    body = shared.get(f"{run['links']['self']}/connections.csv").content
    lines = body.split(b"\r\n")
    assert (len(lines), lines[-1], b"\n" in body.replace(b"\r\n", b"")) == (5, b"", False)
    header, *rows = csv.reader(io.StringIO(body.decode(), newline=""), strict=True)
    assert {"due_s", "accepted_s", "closed_s", "bytes_sent", "messages"} <= set(header)
    assert {len(row) for row in rows} == {len(header)}
    assert all(float(row[header.index("closed_s")]) > 0 for row in rows)


def test_histogram_matches_hdrhistogram(shared: httpx.Client) -> None:
    body = {"server": {"model": "asyncio"}, "clients": [{"kind": "closed", "count": 4, "duration_s": 0.2}]}
    run = shared.post("/api/v1/runs?wait_s=30", json=body).json()
    report = report_of(shared, run)
    head, blank, *lines = shared.get(run["links"]["histogram"]).text.splitlines()
    assert head.split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    assert blank == ""
    rows = [[float(cell) for cell in line.split()] for line in lines if not line.startswith("#[")]
    assert all(
        now[0] >= before[0] and now[1] > before[1] and now[2] >= before[2] for before, now in pairwise(rows[:-1])
    )
    assert all(row[3] == pytest.approx(1 / (1 - row[1]), rel=0.01, abs=0.01) for row in rows[:-1])
    assert rows[-1][1:] == [1.0, report["latency"]["response_ms"]["count"]]
    feet = [re.findall(r"(\w[\w ]*?)\s*=\s*([\d.]+)", line) for line in lines if line.startswith("#[")]
    assert [[name for name, _ in foot] for foot in feet] == [
        ["Mean", "StdDeviation"],
        ["Max", "Total count"],
        ["Buckets", "SubBuckets"],
    ]
    assert float(feet[0][0][1]) == pytest.approx(report["latency"]["response_ms"]["mean"], rel=0.01)
