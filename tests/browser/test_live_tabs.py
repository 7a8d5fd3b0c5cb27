"""Live pages in several tabs with one event stream, and user input during updates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.test_server_live import connect
from tests.support.lab_process import LabProcess
from tests.support.servers import wait_until

PAUSE = [{"send": "^a$"}, {"expect": "b"}, *[{"wait_s": 60}] * 5]


@pytest.fixture
def rest(lab: LabProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{lab.url}/api/v1", timeout=30) as client:
        yield client


@pytest.fixture
def pool(rest: httpx.Client) -> Iterator[dict[str, Any]]:
    """A pool with two workers, deleted after the test."""
    server: dict[str, Any] = rest.post("/servers", json={"model": "bounded_pool", "workers": 2}).json()
    yield server
    rest.delete(f"/servers/{server['id']}")


@pytest.fixture
def run(rest: httpx.Client) -> Iterator[dict[str, Any]]:
    """A run that lasts a minute, cancelled after the test."""
    group = {"kind": "script", "count": 3, "script": PAUSE}
    run: dict[str, Any] = rest.post("/runs", json={"server": {"model": "sequential"}, "clients": [group]}).json()
    yield run
    rest.post(f"/runs/{run['id']}/cancel")


def open_streams(lab: LabProcess) -> int:
    lines = httpx.get(f"{lab.url}/metrics").text.splitlines()
    [line] = [line for line in lines if line.startswith("serverlab_event_streams_open")]
    return int(float(line.split()[-1]))


def follow(page: Page) -> Page:
    """Wait until the page has been updated."""
    elapsed = page.locator("[data-figure=elapsed]")
    before = elapsed.inner_text()
    expect(elapsed).not_to_have_text(before)
    return page


@pytest.mark.timeout(240)  # eight tabs render at the same time
def test_eight_tabs_share_a_stream(
    context: BrowserContext, lab: LabProcess, rest: httpx.Client, pool: dict[str, Any], run: dict[str, Any]
) -> None:
    before = open_streams(lab)
    paths = ["/", "/runs", *[f"/servers/{pool['id']}"] * 3, *[f"/runs/{run['id']}"] * 3]
    pages = []
    for path in paths:
        page = context.new_page()
        page.goto(path)
        pages.append(page)
    follow(pages[5])
    with connect(pool):
        for page in pages[2:5]:
            expect(page.locator("[data-stop=in_service]")).to_contain_text("1 in service")
    assert open_streams(lab) - before == 1
    with pages[5].expect_response("**/cancel") as answer:
        pages[5].get_by_role("button", name="Cancel").click()
    # From the press, with the wait for a connection.
    assert 0 < answer.value.request.timing["responseStart"] < 10_000
    for page in pages[5:]:
        expect(page.locator("[data-run-state]")).to_have_text("cancelled")
    assert rest.get(f"/runs/{run['id']}").json()["state"] == "cancelled"


def test_closed_tabs_are_forgotten(context: BrowserContext, lab: LabProcess, pool: dict[str, Any]) -> None:
    before = open_streams(lab)
    pages = [context.new_page() for _ in range(2)]
    for page in pages:
        page.goto(f"/servers/{pool['id']}")
    wait_until(lambda: open_streams(lab) == before + 1, "the tabs share a stream")
    pages[0].close()
    with connect(pool):
        expect(pages[1].locator("[data-stop=in_service]")).to_contain_text("1 in service")
    pages[1].close()
    wait_until(lambda: open_streams(lab) == before, "the stream of closed tabs is closed")


def test_page_follows_without_shared_worker(context: BrowserContext, pool: dict[str, Any]) -> None:
    page = context.new_page()
    page.add_init_script("delete window.SharedWorker")
    page.goto(f"/servers/{pool['id']}")
    with connect(pool):
        expect(page.locator("[data-stop=in_service]")).to_contain_text("1 in service")


def test_hidden_tab_fetches_its_end_only(context: BrowserContext, rest: httpx.Client, run: dict[str, Any]) -> None:
    page = context.new_page()
    page.goto(f"/runs/{run['id']}")
    follow(page)
    page.evaluate("""() => {
        Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
        document.dispatchEvent(new Event("visibilitychange"));
    }""")
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    rest.post(f"/runs/{run['id']}/cancel")
    expect(page).to_have_title(re.compile("cancelled"))
    assert [url for url in fetched if "/live/" in url] in ([], fetched[:1])  # one request may have been in progress


def test_focus_survives_updates(context: BrowserContext, pool: dict[str, Any], run: dict[str, Any]) -> None:
    page = context.new_page()
    page.goto(f"/runs/{run['id']}")
    cancel = page.get_by_role("button", name="Cancel")
    cancel.focus()
    follow(page)
    expect(cancel).to_be_focused()
    page.goto(f"/servers/{pool['id']}")
    region = page.get_by_role("region", name="Table: Workers")
    region.focus()
    with connect(pool):
        expect(region).to_contain_text("serves")
    expect(region).to_be_focused()


def test_typed_text_survives_updates(context: BrowserContext, rest: httpx.Client, pool: dict[str, Any]) -> None:
    page = context.new_page()
    page.goto(f"/servers/{pool['id']}")
    page.get_by_label("finish within (s)").fill("7.5")
    page.get_by_label("label").fill("mine")
    page.get_by_text("Delete …").click()
    group = {"kind": "script", "count": 1, "script": [{"send": "^a$"}, {"expect": "b"}]}
    rest.post("/runs", params={"wait_s": 20}, json={"server": {"id": pool["id"]}, "clients": [group], "label": "other"})
    expect(page.get_by_role("row", name="other")).to_be_visible()
    expect(page.get_by_label("finish within (s)")).to_have_value("7.5")
    expect(page.get_by_label("label")).to_have_value("mine")
    expect(page.get_by_role("button", name=re.compile("^Delete "))).to_be_visible()


def test_selection_and_scroll_survive_updates(context: BrowserContext, rest: httpx.Client) -> None:
    server = rest.post("/servers", json={"model": "thread_per_client"}).json()
    page = context.new_page()
    page.set_viewport_size({"width": 1280, "height": 600})
    page.goto(f"/servers/{server['id']}")
    with ExitStack() as clients:
        for _ in range(40):
            clients.enter_context(connect(server))
        row = page.get_by_role("region", name="Table: Workers").get_by_role("row", name="client-40")
        expect(row).to_contain_text("serves")
        region = page.get_by_role("region", name="Table: Workers")
        region.evaluate(
            "(all) => { all.scrollTop = 120; getSelection().selectAllChildren(all.querySelector('tbody th')); }"
        )
        page.evaluate("scrollTo(0, 200)")
        places = "() => [document.querySelector('.lanes__all').scrollTop, scrollY, getSelection().toString()]"
        before = page.evaluate(places)
        clock = row.locator("td").nth(3)
        for _ in range(3):
            expect(clock).not_to_have_text(clock.inner_text())
        assert page.evaluate(places) == before
    rest.delete(f"/servers/{server['id']}")
    assert before[1:] == [200, "acceptor"]


def test_zoomed_timeline_stays_zoomed(context: BrowserContext, run: dict[str, Any]) -> None:
    page = context.new_page()
    page.goto(f"/runs/{run['id']}")
    follow(page)
    figure = page.locator("[data-drawing]")
    figure.focus()
    page.keyboard.press("ArrowDown")
    panel = page.locator("[data-explore-parts]")
    expect(panel).to_contain_text("conn1")
    page.keyboard.press("+")
    extent = page.locator("[data-explore-shown]")
    expect(extent).not_to_have_text(re.compile(r"^$|^0\.0+ to "))  # the whole run begins at 0
    zoomed = extent.inner_text()
    with page.expect_response(lambda answer: "timeline.json" in answer.url):
        pass  # an update of the part that is shown
    follow(page)
    expect(extent).to_have_text(zoomed)
    expect(panel).to_contain_text("conn1")
    expect(figure).to_be_focused()


def test_restarted_lab_updates_all_tabs(browser: Browser, own_lab: LabProcess) -> None:
    context = browser.new_context(base_url=own_lab.url)
    pages = [context.new_page() for _ in range(2)]
    for page in pages:
        page.goto("/")
    own_lab.stop()
    for page in pages:
        expect(page.get_by_text("Connection to the lab lost")).to_be_visible()
    own_lab.start()
    with httpx.Client(base_url=f"{own_lab.url}/api/v1", timeout=30) as rest:
        rest.post("/servers", json={"model": "sequential", "name": "after"}).raise_for_status()
    for page in pages:
        expect(page.get_by_text("Connection to the lab lost")).to_be_hidden()
        expect(page.get_by_role("row", name="after")).to_be_visible()
    context.close()
