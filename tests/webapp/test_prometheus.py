"""Metrics of the lab in the formats of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.support.api_steps import finished_run, script_run

Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def shared(shared_url: str) -> Iterator[httpx.Client]:
    fresh = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=shared_url, timeout=30, trust_env=False, limits=fresh) as client:
        yield client


def figures(api: httpx.Client) -> Figures:
    answer = api.get("/metrics")
    assert answer.status_code == 200
    families = parse(answer.text)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def one(found: Figures, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


def test_metrics_show_runs_and_servers(shared: httpx.Client) -> None:
    server = shared.post("/api/v1/servers", json={"model": "bounded_pool", "workers": 2, "name": "secret words"}).json()
    run = shared.post("/api/v1/runs?wait_s=30", json=script_run({"id": server["id"]}, count=3, label="mine")).json()
    found = figures(shared)
    who = {"server": str(server["id"]), "model": "bounded_pool"}
    assert one(found, "serverlab_servers", model="bounded_pool", state="listening") == 1
    assert one(found, "serverlab_server_connections_accepted_total", **who) == 3
    assert one(found, "serverlab_server_connections_ended_total", **who, outcome="completed") == 3
    assert one(found, "serverlab_server_connections_active", **who) == 0
    assert one(found, "serverlab_server_threads_alive", **who) >= 2
    assert one(found, "serverlab_server_queue_depth", **who) == 0
    assert one(found, "serverlab_server_accept_queue", **who) == 0
    assert one(found, "serverlab_runs", state="completed", verdict=run["verdict"]["status"]) == 1
    assert one(found, "serverlab_runs_queued") == one(found, "serverlab_run_in_progress") == 0
    assert one(found, "serverlab_event_streams_open") == 0
    assert one(found, "serverlab_event_streams_limit") == 32
    assert one(found, "process_open_fds") > 3
    assert one(found, "process_resident_memory_bytes") > 10_000_000
    assert one(found, "serverlab_process_threads") >= 2
    assert not [labels for _, labels in found if "secret" in str(labels) or "mine" in str(labels)]
    shared.delete(server["links"]["self"])


def test_requests_are_counted_by_route(shared: httpx.Client) -> None:
    finished_run(shared)
    before = figures(shared)
    shared.get("/api/v1/runs/999999")
    shared.get("/api/v1/runs/1")
    shared.get("/healthz")
    shared.head("/healthz")
    shared.get("/nowhere")
    shared.get("/static/css/base.css")
    shared.get("/healthz", headers={"Host": "evil.com"})
    after = figures(shared)

    def grown(route: str, status: str) -> float:
        key = "serverlab_http_requests_total", (("route", route), ("status", status))
        return after[key] - before.get(key, 0)

    assert grown("/api/v1/runs/{run_id}", "4xx") == grown("/api/v1/runs/{run_id}", "2xx") == 1
    assert (grown("/healthz", "2xx"), grown("/static", "2xx")) == (2, 1)
    assert grown("other", "4xx") == 2
    for (name, labels), value in before.items():
        if name.endswith("_total"):
            assert after[name, labels] >= value, name


def test_both_metric_formats_are_served(shared: httpx.Client) -> None:
    plain = shared.get("/metrics", headers={"Accept": "text/plain"})
    assert plain.headers["content-type"].startswith("text/plain; version=")
    modern = shared.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert modern.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert "serverlab_build" in {family.name for family in parse_open(modern.text)}  # type: ignore[no-untyped-call]
    assert modern.text.endswith("# EOF\n")


def test_two_labs_have_separate_registries(shared: httpx.Client, api: httpx.Client) -> None:
    assert not any(name == "serverlab_runs" for name, _ in figures(api))
    assert figures(shared)
