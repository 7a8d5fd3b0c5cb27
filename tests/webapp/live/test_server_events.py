"""The event stream of a server: a snapshot first, then what is new, and an end when it is deleted."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import connect_sse

from webapp.serving import embedded
from webapp.settings import Settings


@pytest.fixture
def api(tmp_path: Path) -> Iterator[httpx.Client]:
    with (
        embedded(Settings(port=0, data_dir=tmp_path, push_interval_s=0.02)) as url,
        httpx.Client(base_url=url, timeout=20, trust_env=False) as client,
    ):
        yield client


def follow(api: httpx.Client, server: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the names and data of a server's events."""
    with connect_sse(api, "GET", f"{server['links']['self']}/events") as source:
        for event in source.iter_sse():
            assert event.id
            yield event.event, json.loads(event.data)


def start(api: httpx.Client, **config: Any) -> dict[str, Any]:
    made: dict[str, Any] = api.post("/api/v1/servers", json=config).raise_for_status().json()
    return made


def connect(server: dict[str, Any]) -> socket.socket:
    return socket.create_connection((server["address"]["host"], server["address"]["port"]))


@pytest.mark.parametrize("placement", ["thread", "process"])
def test_stream_shows_lanes_queue_and_samples(api: httpx.Client, placement: str) -> None:
    server = start(api, model="bounded_pool", workers=1, placement=placement)
    stream = follow(api, server)
    name, first = next(stream)
    assert name == "snapshot"
    assert first["server"]["id"] == server["id"]
    assert first["look"]["lanes"] == [["acceptor", "accepts"], ["worker-1", "idle"]]
    with connect(server) as served, connect(server) as waits:
        look = next(look for name, look in stream if look["waiting"])
        _, worker = look["lanes"]
        assert worker[:4] == ["worker-1", "serves", 1, f"127.0.0.1:{served.getsockname()[1]}"]
        assert worker[4] <= look["at_s"]
        assert look["waiting"][0][:2] == [2, f"127.0.0.1:{waits.getsockname()[1]}"]
        assert (look["stats"]["in_service"], look["stats"]["waiting"]) == (1, 1)
        served.close()
        looks = (look for _, look in stream if look["busy"])
        [lane, start_s, end_s] = next(looks)["busy"][0]
        assert lane == "worker-1"
        assert start_s <= end_s
    assert next(look for _, look in stream if look["samples"])["samples"][0][0] <= look["at_s"] + 60
    stream.close()  # type: ignore[attr-defined]  # a generator


def test_samples_and_events_are_sent_once(api: httpx.Client) -> None:
    server = start(api, model="asyncio")
    stream = follow(api, server)
    _, first = next(stream)
    samples, events = first["look"]["samples"], first["look"]["events"]
    while len(samples) < 8:
        _, look = next(stream)
        samples, events = samples + look["samples"], events + look["events"]
    times = [row[0] for row in samples]
    assert times == sorted(set(times))
    assert [kind for _, kind, _ in events] == ["detail"]  # the event loop that the server uses
    assert samples[0][6] is None  # CPU use needs two samples
    assert samples[-1][6] is not None
    stream.close()  # type: ignore[attr-defined]


def test_restart_sends_a_snapshot(api: httpx.Client) -> None:
    server = start(api, model="sequential")
    stream = follow(api, server)
    next(stream)
    with httpx.Client(base_url=api.base_url) as other:
        other.post(server["links"]["stop"])
        stopped = next(look for _, look in stream if look["state"] == "stopped")
        assert stopped["lanes"] == []
        other.post(server["links"]["start"])
        again = next(data for name, data in stream if name == "snapshot")
        assert again["look"]["lanes"] == [["acceptor", "accepts"]]
        other.delete(server["links"]["self"])
        assert list(stream)[-1] == ("end", {"state": "deleted"})
        assert other.get(f"{server['links']['self']}/events").status_code == 404
