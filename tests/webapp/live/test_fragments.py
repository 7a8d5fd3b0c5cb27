"""Live fragments: versions, shared renderings, the event stream, and readers that stall."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from httpx_sse import connect_sse

from tests.support.api_steps import LONG, script_run
from tests.support.fake_lab import FakeLab
from tests.support.servers import wait_until
from webapp.lab.change_feed import LAB, run_topic
from webapp.live.fragments import GONE, LiveFragments, Pace, _Kept
from webapp.live.streams import PING_S
from webapp.serving import embedded
from webapp.settings import Settings


@pytest.fixture
def fragments(lab: FakeLab) -> LiveFragments:
    return LiveFragments(lab)


def version(fragments: LiveFragments, name: str) -> str:
    return fragments.versions([name])[0][name]


def test_change_gives_a_new_version(fragments: LiveFragments, lab: FakeLab) -> None:
    before = version(fragments, "lab/runs")
    assert version(fragments, "lab/runs") == before
    lab.feed.touch(LAB)
    assert version(fragments, "lab/runs") != before


def test_figures_change_the_server_list(fragments: LiveFragments, lab: FakeLab) -> None:
    server = lab.add_server()
    before = version(fragments, "lab/servers")
    assert server.stats is not None
    stats = server.stats.model_copy(update={"in_service": 1})
    lab.all_servers[server.id] = server.model_copy(update={"stats": stats})
    wait_until(lambda: version(fragments, "lab/servers") != before, "a new version within its interval")


def test_idle_server_keeps_its_version(fragments: LiveFragments, lab: FakeLab) -> None:
    server = lab.add_server()
    assert server.stats is not None
    idle = server.stats.model_copy(update={"in_service": 0, "waiting": 0, "outcomes": {}})
    lab.all_servers[server.id] = server.model_copy(update={"stats": idle})
    before, minute = version(fragments, "servers/1/now"), version(fragments, "servers/1/minute")
    wait_until(lambda: version(fragments, "servers/1/minute") != minute, "a version of the moving minute")
    assert version(fragments, "servers/1/now") == before


def test_ended_run_keeps_its_version(fragments: LiveFragments, lab: FakeLab) -> None:
    run = lab.add_run("running")
    lab.feed.touch(run_topic(run.id))
    before = version(fragments, "runs/1/progress")
    wait_until(lambda: version(fragments, "runs/1/progress") != before, "a version of a running run")
    lab.runs.cancel(run.id)
    lab.feed.touch(run_topic(run.id))
    wait_until(lambda: fragments.versions(["runs/1/progress"])[1] == PING_S, "an ended run is polled no more")
    ended = version(fragments, "runs/1/progress")
    other = lab.add_run("running")
    lab.feed.touch(run_topic(other.id))
    running = version(fragments, "runs/2/progress")
    wait_until(lambda: version(fragments, "runs/2/progress") != running, "a version of a run that is running")
    assert version(fragments, "runs/1/progress") == ended


def test_deleted_things_are_gone(fragments: LiveFragments) -> None:
    assert fragments.versions(["servers/9/now", "runs/9/page"])[0] == {"servers/9/now": GONE, "runs/9/page": GONE}


def test_tabs_share_a_rendering(fragments: LiveFragments, lab: FakeLab) -> None:
    made: list[str] = []

    def render(view: str) -> tuple[str, str]:
        def make() -> str:
            made.append(view)
            return f"{view} {len(made)}"

        return fragments.render("lab/runs", view, make)

    first = render("whole")
    assert render("whole") == first
    assert render("part")[1] == "part 2"
    assert render("whole") == first
    lab.feed.touch(LAB)
    wait_until(lambda: render("whole") != first, "a rendering of the new version")
    assert made[:2] == ["whole", "part"]


def test_rendering_keeps_to_its_share() -> None:
    kept = _Kept(Pace(interval_s=0.0, share=50))
    began = time.monotonic()
    for view in ("one", "two"):
        kept.draw(view, lambda: str(time.sleep(0.01)))  # type: ignore[func-returns-value]
    assert kept.spent_until - began >= 2 * 50 * 0.01


@pytest.mark.parametrize(
    "name", ["lab/servers", "lab/runs", "servers/1/now", "servers/1/minute", "runs/1/progress", "runs/1/timeline"]
)
def test_fragment_equals_its_part_of_the_page(visitor: TestClient, lab: FakeLab, name: str) -> None:
    lab.add_server()
    lab.add_run("running")
    page = "/" if "lab/" in name else f"/{name}".rpartition("/")[0]
    answer = visitor.get("/live/fragments", params={"fragment": name})
    assert answer.status_code == 200
    [(key, found)] = answer.json().items()
    assert key == name
    assert found["version"]
    html = found["html"]
    tag = html[: html.index(">", html.index("data-fragment")) + 1].strip()
    assert " ".join(tag.split()) in " ".join(visitor.get(page).text.split())


def test_one_request_returns_many_fragments(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_server()
    names = ["servers/1/now", "servers/1/minute", "servers/9/now"]  # the last one was deleted
    assert visitor.get("/live/fragments", params={"fragment": names}).json().keys() == set(names[:2])


@pytest.mark.parametrize("names", [[], ["lab/all"], ["servers/1/state"], ["runs/1/page"], ["lab/runs", "x"]])
def test_other_names_are_no_fragments(visitor: TestClient, names: list[str]) -> None:
    answer = visitor.get("/live/fragments", params={"fragment": names})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_fragment_requests_are_counted(api: httpx.Client) -> None:
    api.get("/live/fragments", params={"fragment": "lab/runs"}).raise_for_status()
    assert 'serverlab_http_requests_total{route="/live/fragments",status="2xx"} 1.0' in api.get("/metrics").text


def test_cross_site_pages_get_no_fragments(visitor: TestClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert visitor.get("/live/fragments", params={"fragment": "lab/runs"}, headers=headers).status_code == 403


@pytest.mark.parametrize("name", ["lab/all", "runs/0/page", "runs/1/now", "servers/1/now/x", ""])
def test_unknown_fragments_are_refused(visitor: TestClient, name: str) -> None:
    assert visitor.get("/live/events", params={"fragment": name}).status_code == 422


# --- the stream ------------------------------------------------------------------------------------------------------


def changes(api: httpx.Client, *names: str) -> Iterator[dict[str, Any]]:
    with connect_sse(api, "GET", "/live/events", params={"fragment": names}) as source:
        for event in source.iter_sse():
            assert event.event == "fragments"
            yield json.loads(event.data)


def test_stream_names_what_has_changed(api: httpx.Client) -> None:
    stream = changes(api, "lab/runs", "servers/1/state")
    assert next(stream)["servers/1/state"] == GONE
    with httpx.Client(base_url=api.base_url, timeout=30) as other:
        other.post("/api/v1/servers", json={"model": "sequential"}).raise_for_status()
        seen: dict[str, Any] = {}
        while seen.keys() != {"lab/runs", "servers/1/state"}:
            seen |= next(stream)
        other.post("/api/v1/servers/1/stop").raise_for_status()
        while next(stream).get("servers/1/state") in (None, seen["servers/1/state"]):
            pass
    stream.close()  # type: ignore[attr-defined]  # a generator


def test_stalled_reader_is_closed(settings: Settings) -> None:
    settings = replace(settings, push_interval_s=0.001, send_deadline_s=0.5)
    with embedded(settings) as url, httpx.Client(base_url=url, timeout=30) as api, socket.socket() as peer:
        run = api.post("/api/v1/runs", json=script_run({"model": "sequential"}, LONG)).raise_for_status().json()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        place = urlsplit(url)
        peer.connect((place.hostname, place.port))
        peer.sendall(f"GET {run['links']['events']} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
        wait_until(lambda: _open_streams(api) == 1, "the stream is open")
        wait_until(lambda: _open_streams(api) == 0, "the stalled stream is closed", deadline_s=60)
        api.post(f"{run['links']['self']}/cancel")


def _open_streams(api: httpx.Client) -> int:
    [line] = [line for line in api.get("/metrics").text.splitlines() if line.startswith("serverlab_event_streams_open")]
    return int(float(line.split()[-1]))
