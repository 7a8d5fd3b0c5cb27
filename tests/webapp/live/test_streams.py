"""Live pages: a snapshot first, then changes, an end; streams are counted, and nobody's slowness is anybody else's."""

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
from webapp.live.events import EventStream, Streams

from tests.support.api_steps import LONG, QUICK, finished_run, script_run
from tests.support.servers import wait_until
from webapp.lab.change_feed import Feed
from webapp.serving import embedded
from webapp.settings import Settings


def events(api: httpx.Client, path: str, last_id: str | None = None) -> Iterator[ServerSentEvent]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with connect_sse(api, "GET", path, headers=headers) as source:
        yield from source.iter_sse()


def start(api: httpx.Client, script: Any = QUICK) -> dict[str, Any]:
    found: dict[str, Any] = api.post("/api/v1/runs", json=script_run({"model": "sequential"}, script)).json()
    return found


def test_a_run_is_followed_from_its_snapshot_to_its_end(api: httpx.Client) -> None:
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
    drawings = [json.loads(event.data) for event in seen if event.event == "timeline"]
    assert len(drawings) >= 2  # it grew while it ran
    assert all("<svg" in drawing for drawing in drawings)
    assert all(event.id for event in seen)
    assert json.loads(seen[-1].data) == {"state": "completed"}


def test_a_run_that_is_over_is_told_at_once(api: httpx.Client) -> None:
    run = finished_run(api)
    assert [event.event for event in events(api, run["links"]["events"])] == ["snapshot", "timeline", "end"]


def test_who_comes_back_with_the_newest_id_has_missed_nothing(api: httpx.Client) -> None:
    run = finished_run(api)
    seen = list(events(api, run["links"]["events"]))
    again = [event.event for event in events(api, run["links"]["events"], last_id=seen[-1].id)]
    assert again == ["timeline", "end"]
    for stale in ("0", "x-1", seen[-1].id.partition("-")[0] + "-0", "-" * 90):
        assert next(events(api, run["links"]["events"], last_id=stale)).event == "snapshot"


def test_events_are_not_sent_more_often_than_the_interval(settings: Settings) -> None:
    with embedded(replace(settings, push_interval_s=0.25)) as url, httpx.Client(base_url=url, timeout=30) as api:
        run = start(api, [{"send": "^ab$"}, {"wait_s": 1.0}])
        told = [event for event in events(api, run["links"]["events"]) if event.event == "run"]
        elapsed = [
            run["progress"]["elapsed_s"] for run in map(json.loads, (event.data for event in told)) if run["progress"]
        ]
        assert len(elapsed) >= 3
        assert all(later - earlier > 0.2 for earlier, later in pairwise(elapsed))


def test_the_lists_are_told_when_they_change(api: httpx.Client) -> None:
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


def test_a_deleted_run_ends_its_streams(api: httpx.Client) -> None:
    run = start(api, LONG)
    stream = events(api, run["links"]["events"])
    next(stream)
    with httpx.Client(base_url=api.base_url, timeout=30) as other:
        other.post(run["links"]["cancel"])
        list(stream)
        other.delete(run["links"]["self"])
        assert other.get(run["links"]["events"]).status_code == 404


def test_the_lab_ending_ends_every_stream(settings: Settings) -> None:
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


def test_streams_have_a_limit_that_names_itself_and_is_given_back(settings: Settings) -> None:
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
        wait_until(lambda: _opens(api), "the places are given back")


def _opens(api: httpx.Client) -> bool:
    with api.stream("GET", "/api/v1/events") as answer:
        return answer.status_code == 200


def test_peers_that_vanish_give_their_places_back(settings: Settings) -> None:
    with embedded(replace(settings, max_streams=2)) as url, httpx.Client(base_url=url, timeout=30) as api:
        address = (urlsplit(url).hostname, urlsplit(url).port)
        request = f"GET /api/v1/events HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\n\r\n".encode()
        for _ in range(50):
            with socket.create_connection(address) as peer:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close() resets
                peer.sendall(request)
        wait_until(lambda: _opens(api), "the places are given back")


def test_a_place_is_given_back_when_the_body_never_begins() -> None:
    """The peer is gone before the first byte: `send` fails at once."""
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


def test_a_change_before_the_wait_is_not_missed() -> None:
    async def story() -> None:
        feed = Feed()
        seen = feed.version("x")
        feed.touch("x")
        await asyncio.wait_for(feed.wait("x", seen, 60), 5)

    asyncio.run(story())


def test_a_change_from_another_thread_wakes_all_who_wait_for_that_topic() -> None:
    async def story() -> None:
        feed = Feed()
        waiting = [asyncio.create_task(feed.wait("x", 0, 60)) for _ in range(3)]
        other = asyncio.create_task(feed.wait("y", 0, 60))
        await asyncio.sleep(0)
        await asyncio.to_thread(feed.touch, "x")
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        assert not other.done()
        feed.close()
        await asyncio.wait_for(other, 5)
        await asyncio.wait_for(feed.wait("y", 0, 60), 5)  # nobody waits in a closed feed
        assert feed.is_closed

    asyncio.run(story())


def test_a_wait_ends_with_its_time() -> None:
    async def story() -> None:
        feed = Feed()
        await feed.wait("x", 0, 0.01)
        assert feed.version("x") == 0

    asyncio.run(story())


def test_who_joins_late_is_told_what_was_before(api: httpx.Client) -> None:
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


def test_a_queued_run_is_told_its_place(api: httpx.Client) -> None:
    first, second, third = start(api, LONG), start(api), start(api)
    assert api.get(third["links"]["self"]).json()["stage"]["before"] == 2
    api.post(f"{first['links']['self']}/cancel")
    last = [json.loads(event.data) for event in events(api, third["links"]["events"]) if event.event == "run"][-1]
    assert last["stage"] is None
    assert api.get(second["links"]["self"]).json()["state"] == "completed"
