"""Deadlines for silent peers, in every state of a request; event streams and keep-alive are exempt."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.api_steps import LONG, script_run
from tests.support.servers import wait_until
from webapp.serving import embedded
from webapp.settings import Settings

DEADLINE_S = 0.5


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data_dir = tmp_path_factory.mktemp("data")
    with embedded(Settings(port=0, data_dir=data_dir, receive_deadline_s=DEADLINE_S, push_interval_s=0.05)) as url:
        yield url


def head(url: str, line: str, *more: str) -> bytes:
    return "\r\n".join([line, f"Host: {urlsplit(url).netloc}", *more, "", ""]).encode()


JSON = "Content-Type: application/json"


@pytest.mark.parametrize(
    "begin",
    [
        "nothing",
        "half a head",
        "a short body",
        "a chunk without end",
        "a second request's half",
    ],
)
def test_incomplete_request_is_closed(url: str, begin: str) -> None:
    requests = {
        "nothing": b"",
        "half a head": b"GET / HT",
        "a short body": head(url, "POST /api/v1/servers HTTP/1.1", JSON, "Content-Length: 9") + b"{",
        "a chunk without end": head(url, "POST /api/v1/servers HTTP/1.1", JSON, "Transfer-Encoding: chunked")
        + b"9\r\n{",
        "a second request's half": head(url, "GET /healthz HTTP/1.1") + b"GET / HT",
    }
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=10) as peer:
        peer.sendall(requests[begin])
        began = time.monotonic()
        try:
            while peer.recv(65536):
                pass
        except ConnectionResetError:
            pass
        assert time.monotonic() - began < 8  # the lab's deadline, or uvicorn's 5 s between two requests


def test_slow_bytes_do_not_extend_deadline(url: str) -> None:
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=10) as peer:
        began = time.monotonic()
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while time.monotonic() - began < 8:
                peer.sendall(b"X")
                time.sleep(0.05)  # the interval of the slow sender
        assert time.monotonic() - began < 8


def test_silent_peers_do_not_block_others(url: str) -> None:
    silent = [socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) for _ in range(14)]
    assert httpx.get(f"{url}healthz").status_code == 200
    for peer in silent:
        peer.close()


def test_stream_outlives_receive_deadline(url: str) -> None:
    with httpx.Client(base_url=url, timeout=30) as api, api.stream("GET", "/api/v1/events") as answer:
        chunks = answer.iter_raw()
        next(chunks)
        began = time.monotonic()
        while time.monotonic() - began < 2 * DEADLINE_S:
            httpx.post(f"{url}api/v1/servers", json={"model": "sequential"})
            next(chunks)
            httpx.delete(f"{url}api/v1/servers/{httpx.get(f'{url}api/v1/servers').json()['servers'][0]['id']}")


def test_connection_is_reused(url: str) -> None:
    with httpx.Client(base_url=url, timeout=30) as api:
        for _ in range(5):
            assert api.get("/healthz").status_code == 200
            assert api.post("/api/v1/servers", json={}).status_code == 422


@pytest.mark.parametrize("path", ["/", "/runs", "/docs", "/healthz", "/api/v1/models", "/static/css/base.css"])
def test_head_is_get_without_body(url: str, path: str) -> None:
    with httpx.Client(base_url=url, timeout=30) as api:
        asked, got = api.head(path), api.get(path)
    assert asked.status_code == got.status_code == 200
    assert asked.content == b""
    varies = {"date", "content-length"}  # the dashboard shows the machine's load
    assert {name: value for name, value in asked.headers.items() if name not in varies} == {
        name: value for name, value in got.headers.items() if name not in varies
    }
    assert "content-length" in asked.headers


def test_head_of_stream_ends_at_once(url: str) -> None:
    with httpx.Client(base_url=url, timeout=30) as api:
        assert api.head("/api/v1/events").headers["content-type"].startswith("text/event-stream")
        assert api.head("/api/v1/runs/1").status_code == 404
        assert api.head("/api/v1/runs/1/cancel").status_code == 405


def test_peer_that_reads_nothing_is_closed(tmp_path: Path) -> None:
    settings = Settings(port=0, data_dir=tmp_path, send_deadline_s=0.5, push_interval_s=0.01, max_streams=1)
    with embedded(settings) as url, httpx.Client(base_url=url, timeout=30) as api:
        body = script_run({"model": "sequential"}, LONG, note="x" * 2000)
        for _ in range(19):  # 50 kB per event
            assert api.post("/api/v1/runs", json=body).status_code == 202
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            reader.connect((urlsplit(url).hostname, urlsplit(url).port))
            reader.sendall(head(url, "GET /api/v1/events HTTP/1.1"))
            assert reader.recv(64)  # the stream is open; nothing is read from here on

            def is_free() -> bool:
                api.patch("/api/v1/runs/1", json={"note": str(time.monotonic())})
                with api.stream("GET", "/api/v1/events") as answer:
                    return answer.status_code == 200

            wait_until(is_free, "the stream of the stalled reader is closed", deadline_s=40)


def test_environment_settings_are_checked() -> None:
    env = {"HOME": "/nowhere", "SERVERLAB_PORT": "8123", "SERVERLAB_MAX_RUN_S": "5.5", "SERVERLAB_DATA_DIR": "/data"}
    settings = Settings.load(env, port=None, host="::1")
    assert (settings.port, settings.max_run_s, settings.data_dir, settings.host) == (8123, 5.5, Path("/data"), "::1")
    assert Settings.load(env, port=9).port == 9
    assert Settings.load({"XDG_DATA_HOME": "/xdg"}).data_dir == Path("/xdg/serverlab")
    assert Settings.load({"XDG_DATA_HOME": "relative"}).data_dir == Path.home() / ".local/share/serverlab"
    assert replace(settings, port=1).port == 1
    for bad in ("x", "-1", "nan"):
        with pytest.raises(ValueError, match="SERVERLAB_PORT"):
            Settings.load({"SERVERLAB_PORT": bad})
    with pytest.raises(ValueError, match="SERVERLAB_MAX_RUN_S"):
        Settings.load({"SERVERLAB_MAX_RUN_S": "nan"})
