"""The lab as a process: errors at the start, shutdown, and state after a kill."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.api_steps import LONG, script_run
from tests.support.servers import wait_until
from tests.support.shell import serverlab, serving
from webapp.serving import embedded
from webapp.settings import Settings
from webapp.storage.database import migrations
from webapp.storage.store import FILE_NAME


def busy(api: httpx.Client) -> dict[str, Any]:
    """Start two servers and a run against one of them; return the run when its clients are in service."""
    first = api.post("/api/v1/servers", json={"model": "thread_per_client"}).json()
    api.post("/api/v1/servers", json={"model": "bounded_pool"})
    run: dict[str, Any] = api.post("/api/v1/runs", json=script_run({"id": first["id"]}, LONG, count=3)).json()

    def is_served() -> bool:
        progress = api.get(run["links"]["self"]).json()["progress"]
        return progress is not None and progress["counts"]["in_service"] == 3

    wait_until(is_served, "three clients are in service")
    return run


def listening(pid: int) -> set[str]:
    """Return the addresses on which a process and its children listen."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    connections = [connection for member in family for connection in member.net_connections("inet")]
    return {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}


def refuses(server: dict[str, Any]) -> bool:
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection((server["address"]["host"], server["address"]["port"])).close()
        return False
    return True


def stored_runs(data_dir: Path) -> list[tuple[str, str | None]]:
    with contextlib.closing(sqlite3.connect(data_dir / FILE_NAME)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return db.execute("SELECT state, reason_code FROM runs ORDER BY id").fetchall()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_busy_lab_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path) as (process, url), httpx.Client(base_url=url, timeout=30) as api:
        assert (tmp_path / "address").read_text().strip() == url
        run = busy(api)
        queued = api.post("/api/v1/runs", json=script_run({"model": "sequential"})).json()
        servers = api.get("/api/v1/servers").json()["servers"]
        children = psutil.Process(process.pid).children(recursive=True)
        assert children  # the clients
        assert listening(process.pid) == {"127.0.0.1"}
        followed = threading.Barrier(3)

        def follow(path: str) -> None:
            with httpx.stream("GET", f"{url.rstrip('/')}{path}", timeout=30) as answer:
                chunks = answer.iter_raw()
                next(chunks)
                followed.wait(10)
                list(chunks)

        pages = [threading.Thread(target=follow, args=[path]) for path in ("/api/v1/events", run["links"]["events"])]
        for page in pages:
            page.start()
        followed.wait(10)
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 6
        for page in pages:
            page.join(10)
        assert all(refuses(server) for server in servers)
        assert not psutil.wait_procs(children, timeout=2)[1]
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert stored_runs(tmp_path) == [("cancelled", "shutdown"), ("cancelled", "shutdown")]
    assert queued["id"] == 2
    assert not (tmp_path / "address").exists()
    assert list((tmp_path / "work").iterdir()) == []


def test_second_signal_exits_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, url), httpx.Client(base_url=url, timeout=30) as api:
        busy(api)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        process.wait(10)
        assert time.monotonic() - began < 2
        assert not psutil.wait_procs(children, timeout=3)[1]


def test_killed_lab_ends_its_children(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, url), httpx.Client(base_url=url, timeout=30) as api:
        busy(api)
        api.post("/api/v1/runs", json=script_run({"model": "sequential"}))
        servers = api.get("/api/v1/servers").json()["servers"]
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait(10)
        assert not psutil.wait_procs(children, timeout=3)[1]
        assert all(refuses(server) for server in servers)
    assert [state for state, _ in stored_runs(tmp_path)] == ["running", "queued"]
    with serving(tmp_path) as (process, url), httpx.Client(base_url=url, timeout=30) as api:
        runs = api.get("/api/v1/runs?sort=created_at").json()["runs"]
        assert [(run["state"], run["reason"]["code"]) for run in runs] == [("interrupted", "lab_ended")] * 2
        assert [server["state"] for server in api.get("/api/v1/servers").json()["servers"]] == ["stopped"] * 2
        assert api.get(runs[0]["links"]["report"]).status_code == 404
        assert api.post(runs[0]["links"]["cancel"]).json()["state"] == "interrupted"
        process.terminate()
        assert process.wait(10) == 0


def test_data_dir_belongs_to_one_lab(tmp_path: Path) -> None:
    with embedded(Settings(port=0, data_dir=tmp_path)):
        second = serverlab("serve", "--port", "0", "--data-dir", tmp_path)
    assert second.returncode == 1
    assert f"already in use by pid {os.getpid()}" in second.stderr
    assert len(second.stderr.splitlines()) == 1


def test_port_in_use_is_one_error_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = serverlab("serve", "--port", str(taken.getsockname()[1]), "--data-dir", tmp_path)
    assert ended.returncode == 1
    assert "in use" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])  # noqa: S104
def test_non_loopback_host_is_refused(tmp_path: Path, host: str) -> None:
    ended = serverlab("serve", "--host", host, "--port", "0", "--data-dir", tmp_path / "new")
    assert ended.returncode == 2
    assert "loopback" in ended.stderr
    assert not (tmp_path / "new").exists()


def test_newer_database_is_left_unchanged(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        db.execute(f"PRAGMA user_version = {len(migrations()) + 1}")
    before = (tmp_path / FILE_NAME).read_bytes()
    ended = serverlab("serve", "--port", "0", "--data-dir", tmp_path)
    assert ended.returncode == 1
    assert "newer" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert (tmp_path / FILE_NAME).read_bytes() == before


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6 on this machine")
def test_ipv6_loopback_is_served(tmp_path: Path) -> None:
    with embedded(Settings(host="::1", port=0, data_dir=tmp_path)) as url:
        assert url.startswith("http://[::1]:")
        assert httpx.get(f"{url}healthz").json() == {"status": "ok"}


def test_version_flag_prints_version() -> None:
    ended = serverlab("--version")
    assert (ended.returncode, ended.stdout.split()[0]) == (0, "serverlab")


def test_invalid_variable_is_named() -> None:
    ended = serverlab("serve", SERVERLAB_PORT="many")
    assert ended.returncode == 2
    assert "SERVERLAB_PORT" in ended.stderr
