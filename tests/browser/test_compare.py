"""Compare and delete runs that are selected in the list, with script and without."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.lab_process import LabProcess

LABEL = "pair"
STEPS = [{"send": "^abc$"}, {"expect": "bcd"}]


@pytest.fixture
def rest(lab: LabProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{lab.url}/api/v1", timeout=30, trust_env=False) as client:
        yield client


def run(rest: httpx.Client, workers: int) -> int:
    body = {
        "label": LABEL,
        "server": {"model": "bounded_pool", "workers": workers},
        "clients": [{"kind": "script", "count": 3, "script": STEPS}],
    }
    return int(rest.post("/runs", params={"wait_s": 20}, json=body).raise_for_status().json()["id"])


@pytest.fixture
def pair(rest: httpx.Client) -> Iterator[tuple[int, int]]:
    """Two runs that differ in one setting, the only ones with their label."""
    both = run(rest, 2), run(rest, 3)
    yield both
    for left in rest.get("/runs", params={"label": LABEL}).json()["runs"]:
        rest.delete(f"/runs/{left['id']}")


def select(page: Page, run_id: int) -> None:
    page.get_by_label(f"select run {run_id}", exact=True).check()


def test_selected_runs_are_compared(context: BrowserContext, rest: httpx.Client, pair: tuple[int, int]) -> None:
    page = context.new_page()
    page.goto(f"/runs?label={LABEL}&sort=created_at")
    expect(page.get_by_role("button", name="Compare selected")).to_be_disabled()
    select(page, pair[0])
    expect(page.get_by_role("button", name="Compare selected (1)")).to_be_disabled()
    select(page, pair[1])
    run(rest, 2)  # the list is updated; the checkboxes keep their state and the focus
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(page.get_by_label(f"select run {pair[1]}", exact=True)).to_be_focused()
    page.get_by_role("button", name="Compare selected (2)").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Compare 2 runs")
    differs = page.get_by_role("region", name="Table: What differs")
    expect(differs.get_by_role("row", name="server.workers 2 3")).to_be_visible()
    expect(page.locator("figure.drawing svg:visible")).to_have_count(2)
    page.get_by_role("link", name=f"make run {pair[1]} the baseline").click()
    expect(differs.get_by_role("row", name="server.workers 3 2")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_selected_runs_are_deleted_without_script(
    browser: Browser, lab: LabProcess, rest: httpx.Client, pair: tuple[int, int]
) -> None:
    context = browser.new_context(base_url=lab.url, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"/runs?label={LABEL}")
    for run_id in pair:
        select(page, run_id)
    page.get_by_role("button", name="Delete selected").click()
    page.get_by_role("button", name="Delete 2 runs permanently").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Deleted")
    expect(page.get_by_role("main")).to_contain_text(f"run {pair[0]} {LABEL}")
    assert rest.get("/runs", params={"label": LABEL}).json()["runs"] == []
    context.close()
