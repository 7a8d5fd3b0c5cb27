"""Limits of the lab and of the machine: requests up to the limit are accepted, beyond it the error names the limit."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from coreserver.models import MODELS
from coreserver.models.shared.blocking_server import BlockingServer
from coreserver.models.shared.open_connections import Connection
from coreserver.process_setup import raise_descriptor_limit
from tests.support.api_steps import QUICK
from tests.support.servers import server_config
from tests.support.shell import serving
from webapp.lab.limits import max_threads
from webapp.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, max_threads=10, max_connections=100)


def pool(workers: int, **more: Any) -> dict[str, Any]:
    return {"model": "bounded_pool", "workers": workers, **more}


def test_running_servers_share_thread_limit(api: httpx.Client) -> None:
    first = api.post("/api/v1/servers", json=pool(8)).json()
    refused = api.post("/api/v1/servers", json=pool(3))
    assert refused.status_code == 429
    assert refused.json()["detail"].startswith("max_threads: ")
    assert refused.headers["retry-after"]
    assert api.post("/api/v1/servers", json=pool(2)).status_code == 201
    assert api.post(f"{first['links']['self']}/stop").status_code == 200
    assert api.post("/api/v1/servers", json=pool(8)).status_code == 201
    again = api.post(f"{first['links']['self']}/start")
    assert (again.status_code, again.json()["detail"][:12]) == (429, "max_threads:")
    assert api.get(first["links"]["self"]).json()["state"] == "stopped"
    run = api.post("/api/v1/runs", json={"server": pool(1), "clients": [{"kind": "script", "script": QUICK}]})
    assert run.status_code == 429


def test_running_servers_share_connection_limit(api: httpx.Client) -> None:
    event_loop = {"model": "event_loop", "max_connections": 60}
    assert api.post("/api/v1/servers", json=event_loop).status_code == 201
    refused = api.post("/api/v1/servers", json=event_loop)
    assert (refused.status_code, refused.json()["detail"][:16]) == (429, "max_connections:")
    assert api.post("/api/v1/servers", json=event_loop | {"max_connections": 40}).status_code == 201


def test_run_has_connection_limit(api: httpx.Client) -> None:
    def answer(count: int) -> httpx.Response:
        groups = [{"kind": "idle", "count": count, "hold_s": 0.1}, {"kind": "script", "script": QUICK, "start_s": 0.01}]
        body = {"server": {"model": "event_loop"}, "clients": groups}
        return api.post("/api/v1/runs?wait_s=20", json=body)

    assert answer(99).status_code == 200
    refused = answer(100)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["message"].startswith("max_connections: 101 ")


def test_too_few_descriptors_refuse_server(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.lab.limits.max_descriptors", lambda: 300)
    server = {"model": "event_loop", "max_connections": 45}
    refused = api.post("/api/v1/servers", json=server)
    assert refused.status_code == 503
    assert "RLIMIT_NOFILE" in refused.json()["detail"]
    assert "prlimit --pid $$ --nofile=301" in refused.json()["detail"]
    assert api.post("/api/v1/servers", json=server | {"max_connections": 44}).status_code == 201
    assert api.post("/api/v1/servers", json=server | {"max_connections": 1}).status_code == 503
    assert api.post("/api/v1/servers", json=server | {"max_connections": 44, "placement": "process"}).status_code == 201


def test_too_few_descriptors_refuse_load(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.lab.limits.max_descriptors", lambda: 100)

    def answer(count: int, **more: Any) -> httpx.Response:
        group = {"kind": "closed", "count": count, "duration_s": 0.1}
        body = {"server": {"model": "event_loop"}, "clients": [group], **more}
        return api.post("/api/v1/runs?wait_s=20", json=body)

    assert answer(36, client_processes=1).status_code == 200
    refused = answer(37, client_processes=1)
    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == ["clients"]
    assert "RLIMIT_NOFILE: 37 connections" in refused.json()["detail"]
    assert "--nofile=101" in refused.json()["detail"]
    assert answer(37, client_processes=2).status_code == 200


@pytest.mark.parametrize(
    ("group", "field"),
    [
        ({"kind": "closed", "start_s": 590, "duration_s": 11}, "start_s"),
        ({"kind": "closed", "start_s": 1, "duration_s": 600}, "duration_s"),
        ({"kind": "open", "rate_per_s": 0.1, "start_s": 100, "duration_s": 501}, "duration_s"),
        ({"kind": "open", "stages": [{"rate_per_s": 0.1, "duration_s": 600}], "start_s": 1}, "stages"),
        ({"kind": "idle", "hold_s": 600, "start_s": 1}, "hold_s"),
        ({"kind": "script", "script": [{"wait_s": 301}, {"wait_s": 300}]}, "script"),
    ],
    ids=lambda value: value if isinstance(value, str) else value["kind"],
)
def test_too_long_run_is_refused(api: httpx.Client, group: dict[str, Any], field: str) -> None:
    answer = api.post("/api/v1/runs", json={"server": {"model": "sequential"}, "clients": [group]})
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [f"clients.0.{field}"]
    assert "max_run_s: a run lasts at most 600 s" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("config", "threads"),
    [
        ({"model": "sequential"}, 1),
        ({"model": "bounded_pool", "workers": 7}, 7),
        ({"model": "elastic_pool", "min_workers": 2, "max_workers": 9}, 9),
        ({"model": "capped_threads", "max_clients": 12}, 12),
        ({"model": "thread_per_client", "max_connections": 500}, 500),
        ({"model": "thread_per_client"}, 1),
        ({"model": "event_loop", "max_connections": 500}, 1),
    ],
    ids=str,
)
def test_threads_are_counted_from_settings(config: dict[str, Any], threads: int) -> None:
    assert max_threads(server_config(**config)) == threads


def test_renamed_thread_per_client_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class OtherName(BlockingServer):
        def on_accept(self, connection: Connection) -> None:
            self.threads.start("t", lambda: self.serve(connection, "t"))

    monkeypatch.setitem(MODELS, "sequential", OtherName)
    assert max_threads(server_config("sequential", max_connections=500)) == 500


def test_serve_raises_descriptor_limit(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    try:
        with serving(tmp_path / "data") as (process, _):
            assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
            process.terminate()
            process.communicate(timeout=20)
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
