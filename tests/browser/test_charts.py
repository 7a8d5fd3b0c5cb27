"""The charts of a run in a browser: drawing, tooltips, and a new drawing after a change of width or colours."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.support.lab_process import LabProcess


@pytest.fixture(scope="module")
def loaded_run(lab: LabProcess) -> int:
    """A run of two groups with enough messages for every chart."""
    groups = [
        {"kind": "closed", "name": name, "count": 2, "duration_s": 0.6, "think_s": 0.001} for name in ("busy", "others")
    ]
    body = {"label": "charted", "server": {"model": "thread_per_client"}, "clients": groups}
    with httpx.Client(base_url=f"{lab.url}/api/v1", timeout=30) as rest:
        return int(rest.post("/runs", params={"wait_s": 20}, json=body).raise_for_status().json()["id"])


def test_charts_follow_width_and_colours(page: Page, loaded_run: int) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(f"/runs/{loaded_run}")
    figures = page.locator("figure.chart")
    expect(figures).to_have_count(5)
    for figure in figures.all():
        figure.scroll_into_view_if_needed()
        expect(figure.locator("svg")).to_be_visible()
        expect(figure).to_have_attribute("role", "img")
    curve = page.locator("figure.chart--percentiles")
    curve.hover()
    expect(page.locator("#vg-tooltip-element")).to_contain_text("response time")
    expect(curve.locator('path[stroke="#12757c"]').first).to_be_attached()
    page.emulate_media(color_scheme="dark")
    expect(curve.locator('path[stroke="#43aba8"]').first).to_be_attached()
    page.set_viewport_size({"width": 390, "height": 800})
    expect(curve.locator("svg")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_chart_has_a_table(page: Page, loaded_run: int) -> None:
    page.goto(f"/runs/{loaded_run}")
    chart = page.get_by_role("article", name="Latency by percentile")
    chart.get_by_text("As a table").click()
    expect(chart.get_by_role("row", name="median")).to_be_visible()
    expect(chart.get_by_role("link", name="PNG")).to_have_attribute(
        "href", f"/api/v1/runs/{loaded_run}/charts/percentiles.png"
    )


def test_failed_chart_shows_reason(page: Page, loaded_run: int) -> None:
    page.route("**/charts/waits.json", lambda route: route.fulfill(status=404, json={"detail": "no such chart"}))
    page.goto(f"/runs/{loaded_run}")
    figure = page.locator("figure.chart--waits")
    figure.scroll_into_view_if_needed()
    expect(figure).to_contain_text("no such chart")
