"""Open pages show that the lab is unreachable, and are updated after its restart."""

from __future__ import annotations

import signal

from playwright.sync_api import Browser, expect

from tests.support.lab_process import LabProcess


def test_pages_recover_after_restart(browser: Browser, own_lab: LabProcess) -> None:
    context = browser.new_context(base_url=own_lab.url)
    dashboard, run = context.new_page(), context.new_page()
    run.goto("/")
    run.get_by_label("your own steps").check()
    run.get_by_label("steps", exact=True).fill("send ^a$\nexpect b\nwait 60")
    run.get_by_role("button", name="Launch the clients").click()
    expect(run.locator("[data-figure=in_service]")).to_have_text("3")
    dashboard.goto("/")
    dashboard.get_by_role("button", name="Start bounded_pool").click()
    expect(dashboard.get_by_text("listening")).to_be_visible()
    dashboard.goto("/")

    own_lab.stop(signal.SIGKILL)
    for page in (dashboard, run):
        expect(page.get_by_text("Connection to the lab lost")).to_be_visible()
    own_lab.start()
    for page in (dashboard, run):
        expect(page.get_by_text("Connection to the lab lost")).to_be_hidden(timeout=5000)
    expect(run.locator("[data-run-state]")).to_have_text("interrupted")
    expect(dashboard.get_by_role("region", name="Servers", exact=True)).to_contain_text("stopped")
    expect(dashboard.get_by_role("region", name="Latest runs", exact=True)).to_contain_text("interrupted")
    context.close()
