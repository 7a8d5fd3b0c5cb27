"""Runs against external servers: allowed addresses, host names, and records without server timestamps."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.support.api_steps import QUICK, script_run
from tests.support.servers import running
from tests.support.shell import serverlab
from webapp.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, allow_target=("127.0.0.1:1024-65535", "127.0.0.9:7000"))


@pytest.fixture
def other() -> Iterator[str]:
    """Address of a server that the lab did not start."""
    with running("thread_per_client") as host:
        assert host.address is not None
        yield f"127.0.0.1:{host.address.port}"


def over(api: httpx.Client, address: str, **more: Any) -> dict[str, Any]:
    answer = api.post("/api/v1/runs?wait_s=30", json=script_run({"address": address}, **more))
    assert answer.status_code == 200, answer.text
    run: dict[str, Any] = answer.json()
    return run


def test_run_against_external_server(api: httpx.Client, other: str) -> None:
    run = over(api, other, count=2, label="theirs")
    assert (run["state"], run["model"], run["server_id"]) == ("completed", "external", None)
    assert run["config"]["server"] == {"address": other}
    report = api.get(run["links"]["report"]).json()
    server = report["server"]
    assert (server["model"], server["name"], server["placement"], server["scope"]) == (
        "external",
        other,
        "not ours",
        "not ours",
    )
    assert report["totals"]["messages"]["verified"] == 2
    assert report["latency"]["response_ms"]["count"] == 2
    assert [report["waits"][name]["count"] for name in ("backlog_ms", "queue_ms", "greeting_ms")] == [0, 0, 0]
    assert report["totals"]["peak_in_service"] is None
    codes = {reason["code"]: reason["severity"] for reason in report["verdict"]["reasons"]}
    assert codes["server_unseen"] == "note"
    assert "shared_interpreter" not in codes
    rows = api.get(run["links"]["connections"]).json()["connections"]
    assert [(row["outcome"], row["accepted_s"], row["worker"]) for row in rows] == [("completed", None, None)] * 2
    assert api.get(f"{run['links']['self']}/charts/timeline.svg").status_code == 200
    assert other in api.get(run["links"]["page"], headers={"Accept": "text/html"}).text
    listed = api.get("/api/v1/runs", params={"model": "external"}).json()["runs"]
    assert [found["id"] for found in listed] == [run["id"]]
    assert api.get("/api/v1/runs", params={"model": "thread_per_client"}).json()["runs"] == []


def test_host_name_is_resolved_once(api: httpx.Client, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(other.rpartition(":")[2])
    asked = []

    def changes_its_answer(name: str, *_: object, **__: object) -> list[Any]:
        asked.append(name)
        host = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]

    names = SimpleNamespace(getaddrinfo=changes_its_answer, SOCK_STREAM=socket.SOCK_STREAM)
    monkeypatch.setattr("coreserver.clients.allowed_targets.socket", names)  # httpx uses the real one
    run = over(api, f"rebinding.example:{port}")
    assert (run["state"], asked) == ("completed", ["rebinding.example"])
    answer = api.post("/api/v1/runs", json=script_run({"address": f"rebinding.example:{port}"}))
    assert answer.status_code == 422


REFUSED = [
    *("0.0.0.0:9000", "224.0.0.1:9000", "169.254.169.254:9000", "255.255.255.255:9000", "240.0.0.1:9000"),
    *("127.0.0.1:22", "127.0.0.1:1023", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1", "127.0.0.1:", ":9000", "9000"),
    *("127.1:9000", "2130706433:9000", "0x7f000001:9000", "0177.0.0.1:9000", "127.0.0.1:9000/x", "http://a:9000"),
    *("[::]:9000", "[::1]:9000", "[::ffff:127.0.0.1]:9000", "[::ffff:169.254.169.254]:9000", "[fe80::1]:9000"),
    *("[ff02::1]:9000", "::1:9000", "127.0.0.2:9000", "127.0.0.9:7001", "10.0.0.1:9000", "a b:9000", " 127.0.0.1:9000"),
]


def test_addresses_not_allowed_are_refused(api: httpx.Client) -> None:
    for address in REFUSED:
        answer = api.post("/api/v1/runs", json=script_run({"address": address}))
        assert answer.status_code == 422, address
        assert [error["field"] for error in answer.json()["errors"]] == ["server.address"], address
    assert api.get("/api/v1/runs").json()["runs"] == []


def test_own_port_and_unlisted_servers_are_refused(lab_url: str, api: httpx.Client, shared_url: str) -> None:
    own = lab_url.removeprefix("http://").rstrip("/")
    answer = api.post("/api/v1/runs", json=script_run({"address": own}))
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (422, "this is the port of the lab")
    with httpx.Client(base_url=shared_url, trust_env=False) as closed:
        server = closed.post("/api/v1/servers", json={"model": "sequential"}).json()
        mine = "{host}:{port}".format(**server["address"])
        answer = closed.post("/api/v1/runs", json=script_run({"address": mine}))
        assert "--allow-target" in answer.json()["detail"]  # also for the port of a server of the lab
        closed.delete(server["links"]["self"])


@contextmanager
def silent_listener(greeting: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Run a service with another protocol; yields its address and the bytes received from each client."""
    got: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                sock.sendall(greeting)
                sock.settimeout(5)
                try:
                    got.append(sock.recv(100))
                except OSError:
                    got.append(b"")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", got
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("greeting", [b"", b"-ERR unknown command\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_target_without_greeting_receives_nothing(api: httpx.Client, greeting: bytes) -> None:
    with silent_listener(greeting) as (address, got):
        group = {"kind": "script", "script": QUICK, "timeout_s": 0.5}
        run = api.post("/api/v1/runs?wait_s=30", json={"server": {"address": address}, "clients": [group]}).json()
        report = api.get(run["links"]["report"]).json()
    assert report["totals"]["connections"]["completed"] == 0
    assert report["totals"]["bytes"]["sent"] == 0
    assert got == [b""]


def test_unreachable_target_fails_run(api: httpx.Client) -> None:
    run = over(api, "127.0.0.9:7000")
    assert (run["state"], run["reason"]["code"]) == ("failed", "could_not_connect")


def test_invalid_allow_target_stops_serve(tmp_path: Any) -> None:
    for bad in ("127.0.0.1", "localhost:9000", "127.0.0.1:80", "10.0.0.1/8:9000", "127.0.0.1:9100-9000"):
        ended = serverlab("serve", "--allow-target", bad, "--data-dir", tmp_path / "none")
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "--allow-target" in ended.stderr
    assert not (tmp_path / "none").exists()


def test_allow_target_from_environment() -> None:
    loaded = Settings.load({"SERVERLAB_ALLOW_TARGET": "127.0.0.1:9000, [fd00::/8]:9000-9010"})
    assert loaded.allow_target == ("127.0.0.1:9000", "[fd00::/8]:9000-9010")
