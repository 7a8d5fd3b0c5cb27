"""Use of the pages by keyboard: Tab follows the reading order, and the focused element is visible and never a trap."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.gallery import Gallery

MAX_STOPS = 250
FOCUSED = """(() => {
    const element = document.activeElement;
    if (element === document.body) return null;
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    const name = element.getAttribute("aria-label") ?? element.labels?.[0]?.innerText ?? element.innerText ?? "";
    return {
        name: name.trim().replace(/\\s+/g, " "),
        html: element.outerHTML.slice(0, 120),
        place: window.reachable?.indexOf(element),
        isSeen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
            && box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    };
})()"""
REMEMBER_REACHABLE = """window.reachable = [...document.querySelectorAll(
    "a[href], button:enabled, input:not([type=hidden]):enabled, select, textarea, summary, [tabindex='0']"
)].filter((element) => element.checkVisibility() && !(element.type === "radio" && !element.checked))"""


def press_tab(page: Page, key: str = "Tab") -> dict[str, Any] | None:
    """Press a key and return the focused element, which must be visible; None after the last one."""
    page.keyboard.press(key)
    stop: dict[str, Any] | None = page.evaluate(FOCUSED)
    assert stop is None or stop["isSeen"], f"the focus is not visible on {stop}"
    return stop


def reach(page: Page, name: str, key: str = "Tab") -> None:
    """Press `key` until the element with this name has the focus."""
    for _ in range(MAX_STOPS):
        stop = press_tab(page, key)
        if stop and stop["name"].startswith(name):
            return
    raise AssertionError(f"{name} was not reached with the Tab key")


def go(page: Page, name: str, key: str = "Tab") -> None:
    """Focus the element with this name and press Enter, which opens another page."""
    reach(page, name, key)
    with page.expect_navigation():
        page.keyboard.press("Enter")


@pytest.mark.parametrize(
    "what", ["the dashboard", "a server that listens", "a run with groups", "a comparison", "runs"]
)
def test_tab_follows_reading_order(context: BrowserContext, gallery: Gallery, what: str) -> None:
    page = context.new_page()
    page.goto(gallery.address(what))
    page.evaluate(REMEMBER_REACHABLE)
    visited = []
    while stop := press_tab(page):
        visited.append(stop["place"])
        assert len(visited) < MAX_STOPS, "the focus does not leave the page"
    known = [place for place in visited if place >= 0]  # charts are drawn when they come near the viewport
    assert known == list(range(page.evaluate("window.reachable.length")))


def test_first_tab_skips_navigation(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_lab_is_used_without_mouse(own_context: BrowserContext) -> None:
    page = own_context.new_page()
    page.goto("/runs")
    expect(page.get_by_text("No runs yet")).to_be_visible()
    page.goto("/")
    expect(page.get_by_text("No servers yet")).to_be_visible()
    expect(page.get_by_text("No runs yet")).to_be_visible()

    reach(page, "workers")
    page.keyboard.type("2")
    go(page, "Start bounded_pool")
    expect(page.get_by_text("listening")).to_be_visible()

    for label in ("first", "second"):
        reach(page, "label")
        page.keyboard.type(label)
        reach(page, "the article's")
        page.keyboard.press("ArrowDown")
        expect(page.get_by_label("your own steps")).to_be_checked()
        reach(page, "steps")
        page.keyboard.press("Control+A")
        page.keyboard.type("send ^a$\nexpect b")
        go(page, "Launch the clients")
        expect(page.get_by_role("heading", level=1)).to_contain_text(label)
        expect(page.locator("[data-run-state]")).to_have_text("completed")
        if label == "first":
            go(page, "server 1")

    go(page, "Runs")
    for run in (2, 1):
        reach(page, f"select run {run}")
        page.keyboard.press("Space")
    go(page, "Compare selected (2)", key="Shift+Tab")
    expect(page.get_by_role("heading", name="Compare 2 runs")).to_be_visible()
    go(page, "all runs")
    for run in (2, 1):
        reach(page, f"select run {run}")
        page.keyboard.press("Space")
    go(page, "Delete selected (2)", key="Shift+Tab")
    expect(page.get_by_role("heading", name="Delete these runs?")).to_be_visible()
    go(page, "Delete 2 runs permanently")
    go(page, "To the runs")
    expect(page.get_by_text("No runs yet")).to_be_visible()
    go(page, "Dashboard")
    go(page, "bounded_pool-1")
    reach(page, "Delete …")
    page.keyboard.press("Enter")
    go(page, "Delete bounded_pool-1")
    expect(page.get_by_text("No servers yet")).to_be_visible()
