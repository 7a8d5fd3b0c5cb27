"""Every page in light and dark, on a telephone and on a wide screen, and as assistive technology finds it."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import BrowserContext, Page, expect

PLACES = ["/", "/?model=sequential", "/servers/{server}", "/runs", "/runs/{run}", "/runs/999999", "/runs?state=x"]


def open_filled(page: Page, place: str, run: int) -> None:
    """The page at `place`, with a run and a server that exist."""
    page.goto("/")
    server = page.get_by_role("link", name="standing").get_attribute("href") or ""
    page.goto(place.replace("/servers/{server}", server).replace("{run}", str(run)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(context: BrowserContext, finished_run: int, scheme: str) -> None:
    page = context.new_page()
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    for place in PLACES:
        open_filled(page, place, finished_run)
        for details in page.locator("details").all():
            details.evaluate("details => { details.open = true; }")
        found = Axe().run(page)
        serious = [item for item in found.response["violations"] if item["impact"] in ("serious", "critical")]
        assert serious == [], f"{place}: {[(item['id'], item['nodes'][0]['html']) for item in serious]}"


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_no_page_is_wider_than_the_screen(context: BrowserContext, finished_run: int, width: int) -> None:
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": 900})
    for place in PLACES:
        open_filled(page, place, finished_run)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, place


def test_dark_and_light_follow_the_reader(context: BrowserContext) -> None:
    page = context.new_page()
    grounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.goto("/")
        grounds.append(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    assert grounds[0] != grounds[1]


def test_the_first_tab_leads_past_the_navigation(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
