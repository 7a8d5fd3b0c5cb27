"""Runs in the REST API: create, wait, cancel, edit, list, delete."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from typing import Any

import httpx
import psutil
import pytest

from tests.support.api_steps import LONG, QUICK, finished_run, script_run
from tests.support.servers import wait_until
from webapp.problems import StorageFull
from webapp.serving import embedded
from webapp.settings import Settings
from webapp.storage.database import Database
from webapp.storage.store import FILE_NAME


def state(api: httpx.Client, run: dict[str, Any]) -> str:
    return str(api.get(run["links"]["self"]).json()["state"])


def wait_over(api: httpx.Client, run: dict[str, Any]) -> dict[str, Any]:
    wait_until(lambda: state(api, run) not in ("queued", "running"), "the run is over")
    found: dict[str, Any] = api.get(run["links"]["self"]).json()
    return found


def wait_served(api: httpx.Client, run: dict[str, Any]) -> None:
    """Wait until a client of the run is in service."""

    def served() -> bool:
        progress = api.get(run["links"]["self"]).json()["progress"]
        return progress is not None and progress["counts"]["in_service"] > 0

    wait_until(served, "a client is in service")


def test_run_that_ends_in_time_is_complete(api: httpx.Client) -> None:
    answer = api.post("/api/v1/runs?wait_s=30", json=script_run({"model": "thread_per_client"}, count=3, label="three"))
    run = answer.json()
    assert answer.status_code == 200
    assert answer.headers["location"] == f"/api/v1/runs/{run['id']}"
    assert (run["state"], run["label"], run["model"], run["server_id"]) == (
        "completed",
        "three",
        "thread_per_client",
        None,
    )
    assert run["verdict"]["status"] in ("valid", "suspect")  # suspect if a busy machine delayed the clients
    assert run["totals"]["connections"]["completed"] == 3
    assert run["sentence"]
    assert run["progress"] is None
    assert run["created_at"] <= run["started_at"] <= run["ended_at"]


def test_run_against_server_of_lab(api: httpx.Client) -> None:
    server = api.post("/api/v1/servers", json={"model": "bounded_pool", "workers": 2, "name": "pool"}).json()
    run = api.post("/api/v1/runs?wait_s=30", json=script_run({"id": server["id"]}, count=2)).json()
    assert (run["state"], run["server_id"], run["model"]) == ("completed", server["id"], "bounded_pool")
    assert api.get(run["links"]["report"]).json()["server"]["name"] == "pool"
    after = api.get(server["links"]["self"]).json()
    assert (after["state"], after["run_ids"], after["stats"]["accepted"]) == ("listening", [], 2)


def test_server_must_exist_and_listen(api: httpx.Client) -> None:
    assert api.post("/api/v1/runs", json=script_run({"id": 7})).status_code == 404
    server = api.post("/api/v1/servers", json={"model": "sequential"}).json()
    api.post(f"{server['links']['self']}/stop")
    answer = api.post("/api/v1/runs", json=script_run({"id": server["id"]}))
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["field"] == "server.id"
    assert api.get("/api/v1/runs").json()["runs"] == []


def test_server_start_failure_fails_run(api: httpx.Client) -> None:
    port = api.post("/api/v1/servers", json={"model": "sequential"}).json()["address"]["port"]
    run = api.post("/api/v1/runs?wait_s=30", json=script_run({"model": "sequential", "port": port})).json()
    assert (run["state"], run["reason"]["code"]) == ("failed", "could_not_connect")
    assert str(port) in run["reason"]["detail"]
    assert api.get(run["links"]["report"]).status_code == 404


def test_stopped_server_fails_queued_run(api: httpx.Client) -> None:
    server = api.post("/api/v1/servers", json={"model": "sequential"}).json()
    first = api.post("/api/v1/runs", json=script_run({"model": "sequential"}, LONG)).json()
    second = api.post("/api/v1/runs", json=script_run({"id": server["id"]})).json()
    api.post(f"{server['links']['self']}/stop")
    api.post(first["links"]["cancel"])
    assert wait_over(api, second)["reason"]["code"] == "could_not_connect"


def test_runs_execute_one_by_one_in_order(api: httpx.Client) -> None:
    runs = [api.post("/api/v1/runs", json=script_run({"model": "sequential"}, LONG)).json() for _ in range(3)]
    wait_served(api, runs[0])
    assert [state(api, run) for run in runs] == ["running", "queued", "queued"]
    assert api.get(runs[1]["links"]["report"]).status_code == 409
    assert api.delete(runs[0]["links"]["self"]).status_code == 409
    assert api.delete(runs[1]["links"]["self"]).status_code == 409
    assert api.post(runs[1]["links"]["cancel"]).json()["state"] == "cancelled"
    api.post(runs[0]["links"]["cancel"])
    wait_served(api, runs[2])
    assert [state(api, run) for run in runs] == ["cancelled", "cancelled", "running"]


def test_cancelled_run_keeps_its_records(api: httpx.Client) -> None:
    run = api.post("/api/v1/runs", json=script_run({"model": "sequential"}, LONG, count=2)).json()
    wait_served(api, run)
    assert api.get(run["links"]["timeline"]).text.startswith("<svg")
    assert api.post(run["links"]["cancel"], json={}).status_code == 200
    assert api.post(run["links"]["cancel"]).status_code == 200
    over = wait_over(api, run)
    assert (over["state"], over["reason"]["code"], over["verdict"]["status"]) == ("cancelled", "cancelled", "suspect")
    assert api.get(run["links"]["report"]).json()["totals"]["messages"]["verified"] == 1
    assert api.post(run["links"]["cancel"]).json()["state"] == "cancelled"


def test_unfinished_run_is_returned_after_wait(api: httpx.Client) -> None:
    answer = api.post("/api/v1/runs?wait_s=0.2", json=script_run({"model": "sequential"}, LONG))
    assert answer.status_code == 202
    assert answer.json()["state"] in ("queued", "running")


def test_waiting_requests_do_not_block_others(api: httpx.Client) -> None:
    run = api.post("/api/v1/runs", json=script_run({"model": "sequential"}, LONG)).json()
    asked: dict[str, Any] = {"json": script_run({"model": "sequential"})}
    waiting = [threading.Thread(target=api.post, args=["/api/v1/runs?wait_s=90"], kwargs=asked) for _ in range(45)]
    for thread in waiting:
        thread.start()
    wait_until(
        lambda: len(api.get("/api/v1/runs?state=queued&limit=100").json()["runs"]) == 45,
        "all are queued",
        deadline_s=60,
    )
    for queued in api.get("/api/v1/runs?state=queued&limit=100").json()["runs"]:
        api.post(queued["links"]["cancel"])
    api.post(run["links"]["cancel"])
    for thread in waiting:
        thread.join()


def test_label_and_note_are_editable(api: httpx.Client) -> None:
    run = finished_run(api, label="before")
    patched = api.patch(run["links"]["self"], json={"label": "after", "note": "two\nlines"})
    assert (patched.json()["label"], patched.json()["note"]) == ("after", "two\nlines")
    assert api.get(run["links"]["report"]).json()["run"]["label"] == "after"
    assert api.patch(run["links"]["self"], json={"state": "completed"}).status_code == 422
    assert api.patch(run["links"]["self"], json={"label": "x" * 81}).status_code == 422
    assert api.patch("/api/v1/runs/99", json={}).status_code == 404


def test_deleted_run_is_gone(api: httpx.Client) -> None:
    run = finished_run(api)
    assert api.delete(run["links"]["self"]).status_code == 204
    for link in ("self", "report", "connections", "log", "timeline", "events"):
        assert api.get(run["links"][link]).status_code == 404
    assert api.delete(run["links"]["self"]).status_code == 404


def test_lists_are_filtered_and_paged(api: httpx.Client) -> None:
    ids = [finished_run(api, label=label)["id"] for label in ("b", "a")]
    assert [run["id"] for run in api.get("/api/v1/runs").json()["runs"]] == ids[::-1]
    page = api.get("/api/v1/runs", params={"sort": "label", "limit": 1}).json()
    assert [run["label"] for run in page["runs"]] == ["a"]
    rest = api.get("/api/v1/runs", params={"sort": "label", "cursor": page["next_cursor"]}).json()
    assert ([run["label"] for run in rest["runs"]], rest["next_cursor"]) == (["b"], None)
    assert api.get("/api/v1/runs", params={"verdict": "invalid"}).json()["runs"] == []


def test_full_queue_names_its_limit(settings: Settings) -> None:
    with embedded(replace(settings, max_queued_runs=1)) as url, httpx.Client(base_url=url, timeout=30) as api:
        body = script_run({"model": "sequential"}, LONG)
        wait_served(api, api.post("/api/v1/runs", json=body).json())
        assert api.post("/api/v1/runs", json=body).status_code == 202
        answer = api.post("/api/v1/runs", json=body)
        assert answer.status_code == 429
        assert answer.headers["retry-after"]
        assert "max_queued_runs" in answer.json()["detail"]
        assert len(api.get("/api/v1/runs").json()["runs"]) == 2


def test_run_ends_at_time_limit(settings: Settings) -> None:
    with embedded(replace(settings, max_run_s=1.0)) as url, httpx.Client(base_url=url, timeout=30) as api:
        refused = api.post("/api/v1/runs", json=script_run({"model": "sequential"}, [{"wait_s": 2}]))
        assert refused.status_code == 422
        assert (refused.json()["errors"][0]["field"], "max_run_s" in refused.text) == ("clients.0.script", True)
        # Two clients, one after the other, each within the limit.
        slow = [{"send": "^a$"}, {"wait_s": 0.9}]
        run = api.post("/api/v1/runs?wait_s=30", json=script_run({"model": "sequential"}, slow, count=2)).json()
        assert (run["state"], run["reason"]["code"]) == ("failed", "time_limit")
        assert "max_run_s" in run["reason"]["detail"]
        assert api.get(run["links"]["report"]).json()["totals"]["connections"]["due"] == 2


def test_full_disk_fails_run_not_lab(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded(settings) as url, httpx.Client(base_url=url, timeout=30) as api:
        server = api.post("/api/v1/servers", json={"model": "sequential"}).json()
        run = api.post("/api/v1/runs", json=script_run({"id": server["id"]}, [{"send": "^a$"}, {"wait_s": 0.5}])).json()
        wait_served(api, run)
        full = threading.Event()
        full.set()
        write = Database.write

        def write_unless_full(database: Database) -> Any:
            if full.is_set():
                raise StorageFull("the disk is full or failing: nothing was stored")
            return write(database)

        monkeypatch.setattr(Database, "write", write_unless_full)
        over = wait_over(api, run)
        assert (over["state"], over["reason"]["code"]) == ("failed", "storage")
        refused = api.post("/api/v1/runs", json=script_run({"id": server["id"]}))
        assert (refused.status_code, refused.headers["content-type"]) == (507, "application/problem+json")
        assert api.get(server["links"]["self"]).json()["state"] == "listening"
        full.clear()  # there is space again
        assert api.post("/api/v1/runs?wait_s=30", json=script_run({"id": server["id"]})).json()["state"] == "completed"
    with sqlite3.connect(settings.data_dir / FILE_NAME) as db:
        assert db.execute("SELECT state FROM runs ORDER BY id").fetchall() == [("failed",), ("completed",)]
    db.close()


def test_report_names_process_placement(api: httpx.Client) -> None:
    config = {"model": "thread_per_client", "placement": "process"}
    server = api.post("/api/v1/servers", json=config).json()
    assert server["pid"] in {child.pid for child in psutil.Process().children()}
    run = api.post("/api/v1/runs?wait_s=30", json=script_run({"id": server["id"]}, count=2)).json()
    assert run["state"] == "completed"
    assert api.get(run["links"]["report"]).json()["server"]["config"]["placement"] == "process"
    psutil.Process(server["pid"]).kill()
    wait_until(
        lambda: api.get(server["links"]["self"]).json()["state"] == "failed", "the lab shows the server as failed"
    )
    assert api.get(server["links"]["self"]).json()["reason"]["code"] == "failed"
    assert api.post("/api/v1/runs", json=script_run({"id": server["id"]})).status_code == 409
    again = api.post(f"{server['links']['self']}/start").json()
    assert (again["state"], again["reason"]) == ("listening", None)


def test_unexpected_error_fails_run(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("webapp.lab.run_queue.build_report", broken)
    run = api.post("/api/v1/runs?wait_s=30", json=script_run({"model": "sequential"})).json()
    assert (run["state"], run["reason"]["code"]) == ("failed", "internal")
    assert "secret" not in str(run)
    monkeypatch.undo()
    assert finished_run(api)["state"] == "completed"


def test_unexpected_error_is_bare_problem(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("webapp.lab.servers.Servers.all", broken)
    answer = api.get("/api/v1/servers")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "secret" not in answer.text


def test_stored_config_repeats_run(api: httpx.Client) -> None:
    run = finished_run(api, seed=5)
    again = api.post("/api/v1/runs?wait_s=30", json=run["config"])
    assert again.status_code == 200
    assert again.json()["config"] == run["config"]
    assert run["config"]["clients"][0]["script"] == QUICK


def test_report_names_event_loop(api: httpx.Client) -> None:
    run = api.post("/api/v1/runs?wait_s=30", json=script_run({"model": "asyncio", "loop": "asyncio"})).json()
    assert api.get(run["links"]["report"]).json()["server"]["details"]["loop"].startswith("asyncio")
