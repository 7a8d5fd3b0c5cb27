"""Every page in light and dark colours, on narrow and wide screens, and its accessibility by axe."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.gallery import PLACES, Gallery, endless
from tests.support.lab_process import LabProcess

NARROW, USUAL, WIDE = 390, 1280, 1920
# Rules whose result depends on colours or width; the others have been checked before.
IN_THE_DARK_AND_NARROW = ["color-contrast", "scrollable-region-focusable", "target-size"]
WIDER = """document.documentElement.scrollWidth <= innerWidth ? [] : [document.documentElement.scrollWidth,
    ...[...document.querySelectorAll("body *")].filter((element) => element.getBoundingClientRect().right > innerWidth)
    .map((element) => element.outerHTML.slice(0, 150))]"""
UNFOLD = "document.querySelectorAll('details').forEach((details) => { details.open = true; })"
MOVING = "document.getAnimations().filter((animation) => animation.playState === 'running').length"
HEADINGS = """[...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
    .filter((heading) => heading.checkVisibility()).map((heading) => Number(heading.localName[1]))"""


def complaints(page: Page, rules: list[str] | None = None) -> list[tuple[str, str]]:
    """Return the serious and critical violations found by axe, each with its first element."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules is not None:
        options["runOnly"] = {"type": "rule", "values": rules}
    found = Axe().run(page, options=options).response["violations"]
    return [(item["id"], item["nodes"][0]["html"]) for item in found if item["impact"] in ("serious", "critical")]


def inspect(page: Page, what: str) -> None:
    """Check the open page in light and dark, wide and narrow, with all details open."""
    page.wait_for_load_state()  # with all its style sheets
    page.evaluate(UNFOLD)
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    assert page.evaluate(MOVING) == 0, f"{what}: there are animations in spite of reduced motion"
    for width in (NARROW, WIDE, USUAL):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(WIDER) == [], f"{what} is wider than {width} px"
    assert complaints(page) == [], what
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size({"width": NARROW, "height": 900})
    assert complaints(page, IN_THE_DARK_AND_NARROW) == [], f"{what}, dark and narrow"


def has_an_outline(page: Page) -> bool:
    """Whether the headings begin with level 1 and no level is skipped."""
    levels = page.evaluate(HEADINGS)
    return bool(levels[0] == 1 and all(level - before <= 1 for before, level in pairwise(levels)))


@pytest.mark.parametrize("what", PLACES)
def test_pages_are_accessible(context: BrowserContext, gallery: Gallery, what: str) -> None:
    page = context.new_page()
    page.goto(gallery.address(what))
    if what == "the documentation":  # rendered by Swagger UI
        page.locator(".opblock-get .opblock-summary-control").first.click()
        expect(page.get_by_text("Example Value").first).to_be_visible()
    else:
        assert has_an_outline(page)
    inspect(page, what)


def test_run_in_progress_is_accessible(context: BrowserContext, lab: LabProcess) -> None:
    page = context.new_page()
    with endless(lab) as under_way, endless(lab) as queued:
        for what, run_id in {"a run under way": under_way, "a queued run": queued}.items():
            page.goto(f"/runs/{run_id}")
            assert has_an_outline(page), what
            inspect(page, what)


def test_forms_with_problems_are_accessible(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/")
    page.get_by_label("workers").fill("none")
    page.get_by_role("button", name="Start bounded_pool").click()
    expect(page.get_by_label("workers")).to_have_accessible_description(re.compile("must be a whole number"))
    inspect(page, "a server's form with a problem")
    page.get_by_label("workers").fill("2")
    page.get_by_label("how many clients").fill("0")
    page.get_by_role("button", name="Launch the clients").click()
    expect(page.get_by_label("how many clients")).to_have_attribute("aria-invalid", "true")
    inspect(page, "a run's form with a problem")


def test_colours_follow_preference(context: BrowserContext) -> None:
    page = context.new_page()
    grounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.goto("/")
        grounds.append(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    assert grounds[0] != grounds[1]
