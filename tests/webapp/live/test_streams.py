"""Event streams of the API: snapshot, changes, end, the limit of their number; the change feed."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from tests.support.api_steps import LONG, QUICK, finished_run, script_run
from tests.support.servers import wait_until
from webapp.lab.change_feed import Feed
from webapp.live.streams import EventStream, Streams
from webapp.serving import embedded
from webapp.settings import Settings


def events(api: httpx.Client, path: str, last_id: str | None = None) -> Iterator[ServerSentEvent]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with connect_sse(api, "GET", path, headers=headers) as source:
        yield from source.iter_sse()


def start(api: httpx.Client, script: Any = QUICK) -> dict[str, Any]:
    found: dict[str, Any] = api.post("/api/v1/runs", json=script_run({"model": "sequential"}, script)).json()
    return found


def test_run_stream_starts_and_ends(api: httpx.Client) -> None:
    run = start(api, [{"send": "^ab$"}, {"wait_s": 0.6}])
    seen = list(events(api, run["links"]["events"]))
    names = [event.event for event in seen]
    assert names[0] == "snapshot"
    assert names[-1] == "end"
    assert "snapshot" not in names[1:]
    assert "end" not in names[:-1]
    states = [json.loads(event.data)["state"] for event in seen if event.event in ("snapshot", "run")]
    assert states[-1] == "completed"
    assert states == sorted(states, key=["queued", "running", "completed"].index)
    assert all(event.id for event in seen)
    assert json.loads(seen[-1].data) == {"state": "completed"}


def test_ended_run_ends_at_once(api: httpx.Client) -> None:
    run = finished_run(api)
    assert [event.event for event in events(api, run["links"]["events"])] == ["snapshot", "end"]


def test_newest_id_skips_the_snapshot(api: httpx.Client) -> None:
    run = finished_run(api)
    seen = list(events(api, run["links"]["events"]))
    again = [event.event for event in events(api, run["links"]["events"], last_id=seen[-1].id)]
    assert again == ["end"]
    for stale in ("0", "x-1", seen[-1].id.partition("-")[0] + "-0", "-" * 90):
        assert next(events(api, run["links"]["events"], last_id=stale)).event == "snapshot"


def test_events_keep_the_interval(settings: Settings) -> None:
    with embedded(replace(settings, push_interval_s=0.25)) as url, httpx.Client(base_url=url, timeout=30) as api:
        run = start(api, [{"send": "^ab$"}, {"wait_s": 1.0}])
        told = [event for event in events(api, run["links"]["events"]) if event.event == "run"]
        elapsed = [
            run["progress"]["elapsed_s"] for run in map(json.loads, (event.data for event in told)) if run["progress"]
        ]
        assert len(elapsed) >= 3
        assert all(later - earlier > 0.2 for earlier, later in pairwise(elapsed))


def test_changed_lists_are_sent(api: httpx.Client) -> None:
    stream = events(api, "/api/v1/events")
    first = next(stream)
    assert first.event == "snapshot"
    assert json.loads(first.data) == {"servers": [], "runs": []}
    with httpx.Client(base_url=api.base_url, timeout=30) as other:
        server = other.post("/api/v1/servers", json={"model": "sequential"}).json()
        second = next(stream)
        assert second.event == "servers"
        assert [listed["id"] for listed in json.loads(second.data)] == [server["id"]]
        start(other)
        third = next(event for event in stream if event.event == "runs")
        assert [listed["state"] for listed in json.loads(third.data)] in (["queued"], ["running"])
    stream.close()  # type: ignore[attr-defined]  # a generator


def test_deleted_run_has_no_stream(api: httpx.Client) -> None:
    run = start(api, LONG)
    stream = events(api, run["links"]["events"])
    next(stream)
    with httpx.Client(base_url=api.base_url, timeout=30) as other:
        other.post(run["links"]["cancel"])
        list(stream)
        other.delete(run["links"]["self"])
        assert other.get(run["links"]["events"]).status_code == 404


def test_shutdown_ends_streams(settings: Settings) -> None:
    ended = threading.Event()
    with httpx.Client(timeout=30) as api, embedded(settings) as url:
        stream = events(api, f"{url}api/v1/events")
        next(stream)

        def follow() -> None:
            list(stream)
            ended.set()

        thread = threading.Thread(target=follow)
        thread.start()
    thread.join(10)
    assert ended.is_set()


def test_number_of_streams_is_limited(settings: Settings) -> None:
    with embedded(replace(settings, max_streams=2)) as url, httpx.Client(base_url=url, timeout=30) as api:
        open_ones = [events(httpx.Client(base_url=url, timeout=30), "/api/v1/events") for _ in range(2)]
        for stream in open_ones:
            next(stream)
        answer = api.get("/api/v1/events")
        assert answer.status_code == 429
        assert answer.headers["retry-after"]
        assert "max_streams" in answer.json()["detail"]
        assert api.get("/healthz").status_code == 200
        for stream in open_ones:
            stream.close()  # type: ignore[attr-defined]
        wait_until(lambda: _opens(api), "the streams are freed")


def _opens(api: httpx.Client) -> bool:
    with api.stream("GET", "/api/v1/events") as answer:
        return answer.status_code == 200


def test_reset_connections_free_streams(settings: Settings) -> None:
    with embedded(replace(settings, max_streams=2)) as url, httpx.Client(base_url=url, timeout=30) as api:
        address = (urlsplit(url).hostname, urlsplit(url).port)
        request = f"GET /api/v1/events HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\n\r\n".encode()
        for _ in range(50):
            with socket.create_connection(address) as peer:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close() resets
                peer.sendall(request)
        wait_until(lambda: _opens(api), "the streams are freed")


def test_failed_send_frees_stream() -> None:
    streams = Streams(limit=1)

    async def no_events() -> Any:
        yield b""

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        raise OSError("the peer is gone")

    async def story() -> None:
        scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
        with pytest.raises(BaseException, match="gone"):
            await EventStream(no_events(), streams)(scope, receive, send)

    asyncio.run(story())
    assert streams.open == 0


# --- the feed --------------------------------------------------------------------------------------------------------


def test_change_before_wait_is_seen() -> None:
    async def story() -> None:
        feed = Feed()
        seen = feed.version("x")
        feed.touch("x")
        await asyncio.wait_for(feed.wait(["x"], seen, 60), 5)

    asyncio.run(story())


def test_change_wakes_waiters_of_its_topic() -> None:
    async def story() -> None:
        feed = Feed()
        waiting = [asyncio.create_task(feed.wait(["x", "z"], 0, 60)) for _ in range(3)]
        other = asyncio.create_task(feed.wait(["y"], 0, 60))
        await asyncio.sleep(0)
        await asyncio.to_thread(feed.touch, "x")
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        assert not other.done()
        feed.close()
        await asyncio.wait_for(other, 5)
        await asyncio.wait_for(feed.wait(["y"], 0, 60), 5)  # a closed feed does not wait
        assert feed.is_closed

    asyncio.run(story())


def test_wait_times_out() -> None:
    async def story() -> None:
        feed = Feed()
        await feed.wait(["x"], 0, 0.01)
        assert feed.version("x") == 0

    asyncio.run(story())


def test_snapshot_has_the_history(api: httpx.Client) -> None:
    run = start(api, [{"send": "^ab$"}, {"wait_s": 1.5}])
    for event in events(api, run["links"]["events"]):
        progress = json.loads(event.data).get("progress") if event.event == "run" else None
        if progress and progress["elapsed_s"] > 0.8:
            break
    late = json.loads(next(events(api, run["links"]["events"])).data)
    assert late["stage"]["phase"] == "measuring"
    history = late["history"]
    at_s = [row[history["columns"].index("at_s")] for row in history["rows"]]
    assert len(at_s) >= 2
    assert at_s == sorted(set(at_s))
    assert at_s[0] < 0.5
    assert late["progress"]["server"]["threads_alive"] >= 1
    api.post(f"{run['links']['self']}/cancel")


def test_queued_run_has_a_position(api: httpx.Client) -> None:
    first, second, third = start(api, LONG), start(api), start(api)
    assert api.get(third["links"]["self"]).json()["stage"]["before"] == 2
    api.post(f"{first['links']['self']}/cancel")
    last = [json.loads(event.data) for event in events(api, third["links"]["events"]) if event.event == "run"][-1]
    assert last["stage"] is None
    assert api.get(second["links"]["self"]).json()["state"] == "completed"
