"""Live updates of the page of a server: connections, workers and queue, also with thousands of connections."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.lab_process import LabProcess

WATCH_LONG_TASKS = """() => {
    window.longTasks = [];
    const note = (list) => list.getEntries().forEach((entry) => window.longTasks.push(entry.duration));
    new PerformanceObserver(note).observe({ entryTypes: ["longtask"] });
}"""
Start = Callable[..., dict[str, Any]]


@pytest.fixture
def rest(lab: LabProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{lab.url}/api/v1", timeout=30) as client:
        yield client


@pytest.fixture
def start(rest: httpx.Client) -> Iterator[Start]:
    """Start servers that are deleted after the test."""
    started: list[int] = []

    def start(**config: Any) -> dict[str, Any]:
        server: dict[str, Any] = rest.post("/servers", json=config).raise_for_status().json()
        started.append(server["id"])
        return server

    yield start
    for server_id in started:
        rest.delete(f"/servers/{server_id}")


def connect(server: dict[str, Any]) -> socket.socket:
    return socket.create_connection((server["address"]["host"], server["address"]["port"]))


def lane(page: Page, name: str) -> Any:
    return page.get_by_role("region", name="Table: Workers").get_by_role("row", name=name)


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_page_follows_a_pool(context: BrowserContext, rest: httpx.Client, start: Start, motion: Any) -> None:
    server = start(model="bounded_pool", workers=2, placement="process")
    page = context.new_page()
    page.emulate_media(reduced_motion=motion)
    page.goto(f"/servers/{server['id']}")
    page.evaluate("window.sameDocument = true")
    expect(page.get_by_text(f"its own process, pid {server['pid']}")).to_be_visible()
    expect(lane(page, "worker-1")).to_contain_text("idle")
    with connect(server) as first, connect(server), connect(server) as third:
        for worker in ("worker-1", "worker-2"):
            expect(lane(page, worker)).to_contain_text("serves")
        queue = page.get_by_role("region", name="Table: Queue")
        expect(queue).to_contain_text(f"127.0.0.1:{third.getsockname()[1]}")
        expect(page.locator("[data-stop=waiting]")).to_contain_text("1 in the queue")
        expect(page.locator("[data-stop=waiting] path")).to_have_attribute("d", "M0 0h7v7h-7z")
        first.close()
        expect(queue).to_be_hidden()
        expect(page.get_by_text("The queue is empty.")).to_be_visible()
    expect(page.locator("[data-outcomes]")).to_contain_text("reset3")  # the clients did not read the greeting
    expect(lane(page, "worker-1")).to_contain_text("idle")
    assert lane(page, "worker-1").locator("path").get_attribute("d")  # it was busy within the last minute
    with connect(server):
        expect(page.get_by_role("region", name="Table: Workers")).to_contain_text("serves")
        rest.post(f"/servers/{server['id']}/stop")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    expect(page.locator("[data-outcomes]")).to_contain_text("cut off1")
    expect(page.locator("[data-events]")).to_contain_text("connections still open: 1")
    expect(page.get_by_role("heading", name="Workers")).to_be_hidden()
    rest.post(f"/servers/{server['id']}/start")
    expect(lane(page, "worker-2")).to_contain_text("idle")
    rest.delete(f"/servers/{server['id']}")
    expect(page.get_by_text(f"there is no server {server['id']}")).to_be_visible()
    assert page.evaluate("window.sameDocument")


def test_events_appear_as_they_happen(context: BrowserContext, start: Start) -> None:
    server = start(model="elastic_pool", min_workers=1, max_workers=3, grow_after_ms=1)
    page = context.new_page()
    page.goto(f"/servers/{server['id']}")
    expect(page.get_by_text("No events.")).to_be_visible()
    with connect(server), connect(server):
        expect(page.locator("[data-events]")).to_contain_text("to 2 workers")
        expect(page.get_by_text("No events.")).to_be_hidden()


@pytest.mark.parametrize("model", [{"model": "bounded_pool", "workers": 64, "queue_limit": 4000}, {"model": "asyncio"}])
def test_many_connections_cause_no_stutter(context: BrowserContext, start: Start, model: dict[str, Any]) -> None:
    server = start(**model, placement="process", backlog=4096)
    page = context.new_page()
    page.goto(f"/servers/{server['id']}")
    with ExitStack() as clients:
        for _ in range(2000):
            clients.enter_context(connect(server))
        shown = page.locator("[data-stop=in_service] .stops__count")
        expect(shown).to_have_text("64" if "workers" in model else "2\u202f000")
        page.evaluate(WATCH_LONG_TASKS)
        began = page.evaluate("performance.now()")
        clocks = page.locator("[data-lanes] tr").last.locator("td").nth(3)
        for _ in range(8):
            expect(clocks).not_to_have_text(clocks.inner_text())
        took_ms = page.evaluate("performance.now()") - began
        stuttered_ms = sum(page.evaluate("window.longTasks"))
    assert stuttered_ms < took_ms / 5


def test_run_deleted_while_lab_was_lost(browser: Browser, own_lab: LabProcess) -> None:
    context = browser.new_context(base_url=own_lab.url)
    page = context.new_page()
    page.add_init_script("delete window.SharedWorker")  # a page's own stream can be blocked
    page.route("**/live/events?*", lambda route: route.abort())
    with httpx.Client(base_url=f"{own_lab.url}/api/v1", timeout=30) as rest:
        script = [{"send": "^a$"}, {"expect": "b"}, {"wait_s": 60}]
        group = {"kind": "script", "count": 1, "script": script}
        run = rest.post("/runs", json={"server": {"model": "sequential"}, "clients": [group]}).json()
        page.goto(f"/runs/{run['id']}")
        expect(page.get_by_text("Connection to the lab lost")).to_be_visible()
        rest.post(f"/runs/{run['id']}/cancel")
        while rest.get(f"/runs/{run['id']}").json()["state"] in ("queued", "running"):
            pass
        rest.delete(f"/runs/{run['id']}").raise_for_status()
    page.unroute("**/live/events?*")
    expect(page.get_by_text("There is no run")).to_be_visible()
    context.close()
