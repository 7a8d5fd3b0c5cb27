"""The drawings of a run: parts of a connection by pointer and keyboard, and zoom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.support.lab_process import LabProcess
from tests.support.servers import wait_until
from webapp import formatting

PARTS = {
    "lateness": ("due_s", "connect_start_s"),
    "backlog wait": ("connected_s", "accepted_s"),
    "queue wait": ("accepted_s", "started_s"),
    "session": ("greeted_s", "closed_s"),
}


@pytest.fixture
def page(context: BrowserContext, finished_run: int) -> Iterator[Page]:
    page = context.new_page()
    page.goto(f"/runs/{finished_run}")
    yield page
    page.close()


@pytest.fixture
def connections(lab: LabProcess, finished_run: int) -> dict[str, dict[str, Any]]:
    listed = httpx.get(f"{lab.url}/api/v1/runs/{finished_run}/connections").json()["connections"]
    return {connection["name"]: connection for connection in listed}


def explored(page: Page, name: str = "timeline") -> Locator:
    return page.locator(f"[data-explore$='/{name}']")


def shown_parts(panel: Locator) -> dict[str, str]:
    return dict(zip(panel.locator("dt").all_inner_texts(), panel.locator("dd").all_inner_texts(), strict=True))


def in_ms(text: str) -> float:
    """Parse the text of `formatting.ms`."""
    *digits, unit = text.split(formatting.NARROW)
    return float("".join(digits)) * {"µs": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def assert_parts(panel: Locator, connection: dict[str, Any]) -> None:
    expect(panel.locator("strong")).to_have_text(connection["name"])
    shown = shown_parts(panel)
    for part, (begin, end) in PARTS.items():
        begin_s = min(connection[begin], connection[end])  # the server can accept before the client records its connect
        assert in_ms(shown[part]) == pytest.approx((connection[end] - begin_s) * 1000, rel=0.006, abs=1e-6), part
    assert (shown["worker"], shown["outcome"]) == (connection["worker"], connection["outcome"])


@pytest.mark.parametrize("name", ["timeline", "lanes"])
def test_pointer_shows_parts_of_a_connection(page: Page, connections: dict[str, dict[str, Any]], name: str) -> None:
    picture = explored(page, name)
    bar = picture.locator("svg:visible .tl-row path.tl-served").first
    bar.hover(force=True)  # a label may cover the bar
    panel = picture.locator("[data-explore-parts]")
    expect(panel).to_be_visible()
    assert_parts(panel, connections[panel.locator("strong").inner_text()])
    page.mouse.move(0, 0)
    expect(panel).to_be_hidden()


def test_keyboard_explores_the_timeline(page: Page, connections: dict[str, dict[str, Any]]) -> None:
    picture = explored(page)
    picture.get_by_label("Timeline", exact=True).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    panel, said = picture.locator("[data-explore-parts]"), picture.locator("[data-explore-said]")
    assert_parts(panel, connections["conn2"])
    expect(said).to_contain_text("2 of 3: conn2, group script")
    extent = picture.locator("[data-explore-shown]")
    whole = extent.inner_text()
    last = picture.locator("svg:visible .tl-tick").last
    end = last.text_content() or ""
    page.keyboard.press("+")
    expect(extent).not_to_have_text(whole)
    expect(last).not_to_have_text(end)
    expect(said).to_have_text(extent.inner_text())
    page.keyboard.press("0")
    expect(extent).to_have_text(whole)
    expect(last).to_have_text(end)
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()


def test_dragged_span_is_enlarged(page: Page) -> None:
    picture = explored(page)
    plot = picture.locator("svg:visible .tl-grid")
    plot.scroll_into_view_if_needed()  # the mouse reaches visible elements only
    box = plot.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.25 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], middle, steps=3)
    page.mouse.up()
    extent = picture.locator("[data-explore-shown]")
    expect(extent).to_contain_text("3 rows")
    expect(extent).not_to_contain_text(re.compile(r"^0\.0+ to"))
    begins_s = float(extent.inner_text().split()[0])
    assert begins_s > 0
    picture.get_by_role("button", name="Whole run").click()
    expect(extent).not_to_contain_text(str(begins_s))
    assert float(extent.inner_text().split()[0]) == 0


def test_parts_are_also_a_table(page: Page, connections: dict[str, dict[str, Any]]) -> None:
    page.get_by_text("The connections as a table").click()
    table = page.get_by_role("region", name="Table: connections")
    for name, connection in connections.items():
        row = table.get_by_role("row", name=name)
        expect(row).to_contain_text(formatting.ms(round((connection["closed_s"] - connection["greeted_s"]) * 1000, 6)))


WATCH = """() => {
    window.updates = new Set();
    const look = () => window.updates.add(document.querySelector("[data-figure=elapsed]")?.textContent);
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


def test_reloaded_page_shows_the_past(context: BrowserContext, lab: LabProcess) -> None:
    page = context.new_page()
    with httpx.Client(base_url=f"{lab.url}/api/v1", timeout=30) as rest:
        groups = [{"kind": "closed", "count": 4, "duration_s": 30.0}, {"kind": "reset", "name": "gone", "start_s": 0.5}]
        run = rest.post("/runs", json={"server": {"model": "thread_per_client"}, "clients": groups}).json()
    page.goto(f"/runs/{run['id']}")
    page.evaluate(WATCH)
    expect(page.locator("[data-run-phase]")).to_have_text("The clients are running.")
    expect(page.locator("[data-figure=elapsed]")).to_have_text(re.compile(r"^[1-9]\."))
    page.reload()
    page.evaluate(WATCH)
    line = page.locator("[data-minute=messages_per_s] .minute__line")
    expect(line).to_have_attribute(
        "d", re.compile(r"^M\d+ [\d.]+(L\d+ [\d.]+){3}")
    )  # with samples from before the reload
    wait_until(lambda: page.evaluate("window.updates.size") >= 8, "eight updates")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("[data-run-state]")).to_have_attribute("data-run-state", "cancelled")
