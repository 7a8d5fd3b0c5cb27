"""Servers in the REST API: create, read, stop, start, delete, and concurrent changes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest

from coreserver.errors import CannotStart
from coreserver.hosting.host import ThreadHost
from coreserver.models import MODELS
from tests.support.api_steps import LONG, script_run
from webapp.serving import embedded
from webapp.settings import Settings


def start(api: httpx.Client, **config: Any) -> dict[str, Any]:
    answer = api.post("/api/v1/servers", json={"model": "sequential", **config})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def greeting(server: dict[str, Any]) -> bytes:
    with socket.create_connection((server["address"]["host"], server["address"]["port"]), timeout=10) as peer:
        return peer.recv(1)


@contextlib.contextmanager
def occupied_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def test_every_model_is_described(api: httpx.Client) -> None:
    models = {model["name"]: model for model in api.get("/api/v1/models").json()["models"]}
    assert list(models) == list(MODELS)
    pool = models["bounded_pool"]
    assert pool["options"]["properties"]["workers"]["default"] == 8
    assert pool["options"]["properties"]["backlog"]["default"] == 64
    assert pool["source_file"] == "coreserver/models/bounded_pool.py"
    assert "class BoundedPool" in pool["source"]
    assert all(model["summary"] and model["description"] for model in models.values())


def test_started_server_greets_at_its_address(api: httpx.Client) -> None:
    answer = api.post("/api/v1/servers", json={"model": "bounded_pool", "workers": 2, "name": "mine"})
    server = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/servers/{server['id']}"
    assert (server["name"], server["state"], server["model"]) == ("mine", "listening", "bounded_pool")
    assert server["config"]["workers"] == 2
    assert server["pid"] > 0
    assert greeting(server) == b"*"
    now = api.get(answer.headers["location"]).json()
    assert now["stats"]["accepted"] == 1
    assert [listed["id"] for listed in api.get("/api/v1/servers").json()["servers"]] == [server["id"]]


def test_generated_name_is_unique(api: httpx.Client) -> None:
    start(api, name="sequential-1")
    assert start(api)["name"] == "sequential-2"


def test_stop_is_idempotent_and_start_restarts(api: httpx.Client) -> None:
    server = start(api)
    path = server["links"]["self"]
    for body in ({"drain_s": 1}, {}, None):
        stopped = api.post(f"{path}/stop", json=body) if body is not None else api.post(f"{path}/stop")
        assert stopped.status_code == 200
        assert (stopped.json()["state"], stopped.json()["address"], stopped.json()["pid"]) == ("stopped", None, None)
    with pytest.raises(ConnectionRefusedError):
        greeting(server)
    again = api.post(f"{path}/start")
    assert again.json()["state"] == "listening"
    assert greeting(again.json()) == b"*"
    assert api.post(f"{path}/start").status_code == 409


def test_port_in_use_is_conflict(api: httpx.Client) -> None:
    with occupied_port() as port:
        answer = api.post("/api/v1/servers", json={"model": "sequential", "port": port, "name": "unlucky"})
    assert answer.status_code == 409
    assert [error["field"] for error in answer.json()["errors"]] == ["port"]
    assert api.get("/api/v1/servers").json()["servers"] == []
    assert start(api, name="unlucky")["state"] == "listening"  # the name is free again


def test_restart_on_port_in_use_stays_stopped(api: httpx.Client) -> None:
    port = start(api)["address"]["port"]
    server = start(api, port=port) if api.delete("/api/v1/servers/1").status_code == 204 else {}
    path = server["links"]["self"]
    api.post(f"{path}/stop")
    with socket.create_server(("127.0.0.1", port)):
        answer = api.post(f"{path}/start")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "port")
        now = api.get(path).json()
        assert (now["state"], now["reason"]["code"]) == ("stopped", "port_in_use")
    started = api.post(f"{path}/start").json()
    assert (started["state"], started["reason"]) == ("listening", None)


def test_machine_refusal_creates_nothing(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: ThreadHost) -> None:
        raise CannotStart("no thread left")

    monkeypatch.setattr(ThreadHost, "start", refused)
    answer = api.post("/api/v1/servers", json={"model": "sequential"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "no thread left" in answer.json()["detail"]
    assert api.get("/api/v1/servers").json()["servers"] == []
    run = api.post("/api/v1/runs?wait_s=30", json=script_run({"model": "sequential"})).json()
    assert (run["state"], run["reason"]["code"]) == ("failed", "server_failed")


def test_name_in_use_is_conflict(api: httpx.Client) -> None:
    start(api, name="mine")
    answer = api.post("/api/v1/servers", json={"model": "sequential", "name": "mine"})
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["field"] == "name"


def test_delete_stops_and_removes(api: httpx.Client) -> None:
    server = start(api)
    assert api.delete(server["links"]["self"]).status_code == 204
    assert api.get(server["links"]["self"]).status_code == 404
    assert api.delete(server["links"]["self"]).status_code == 404
    with pytest.raises(ConnectionRefusedError):
        greeting(server)


def test_one_of_concurrent_starts_wins(api: httpx.Client) -> None:
    path = start(api)["links"]["self"]
    for _ in range(5):
        api.post(f"{path}/stop")
        barrier = threading.Barrier(20)

        def together(_: int, barrier: threading.Barrier = barrier) -> int:
            barrier.wait()
            return api.post(f"{path}/start").status_code

        with ThreadPoolExecutor(20) as pool:
            statuses = list(pool.map(together, range(20)))
        assert sorted(statuses) == [200] + [409] * 19


def test_concurrent_changes_end_consistent(api: httpx.Client) -> None:
    path = start(api)["links"]["self"]
    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(lambda turn: api.post(f"{path}/{('start', 'stop')[turn % 2]}").status_code, range(60)))
    assert set(statuses) <= {200, 409}
    assert api.delete(path).status_code == 204


def test_quota_names_its_limit(settings: Settings) -> None:
    with embedded(replace(settings, max_servers=2)) as url, httpx.Client(base_url=url, timeout=30) as api:
        start(api)
        start(api)
        answer = api.post("/api/v1/servers", json={"model": "sequential"})
        assert answer.status_code == 429
        assert answer.headers["retry-after"]
        assert "max_servers" in answer.json()["detail"]
        api.delete("/api/v1/servers/1")
        assert start(api)["state"] == "listening"


def test_servers_survive_restart_as_stopped(settings: Settings) -> None:
    with embedded(settings) as url, httpx.Client(base_url=url, timeout=30) as api:
        first = start(api, name="kept", backlog=7)
        start(api)
        api.delete("/api/v1/servers/2")
    with embedded(settings) as url, httpx.Client(base_url=url, timeout=30) as api:
        (server,) = api.get("/api/v1/servers").json()["servers"]
        assert (server["id"], server["name"], server["state"]) == (first["id"], "kept", "stopped")
        assert (server["config"], server["created_at"]) == (first["config"], first["created_at"])
        assert greeting(api.post(f"{server['links']['self']}/start").json()) == b"*"


def test_server_in_use_cannot_be_deleted(api: httpx.Client) -> None:
    server = start(api)
    run = api.post("/api/v1/runs", json=script_run({"id": server["id"]}, LONG)).json()
    assert api.get(server["links"]["self"]).json()["run_ids"] == [run["id"]]
    assert api.delete(server["links"]["self"]).status_code == 409
    assert greeting_is_possible_after_cancel(api, run)
    assert api.delete(server["links"]["self"]).status_code == 204


def greeting_is_possible_after_cancel(api: httpx.Client, run: dict[str, Any]) -> bool:
    api.post(f"{run['links']['self']}/cancel")
    while api.get(run["links"]["self"]).json()["state"] in ("queued", "running"):
        pass
    return True
