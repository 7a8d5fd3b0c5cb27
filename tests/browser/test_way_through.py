"""A user's whole path: set up, start, launch, follow the run, read its result."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, BrowserContext, Page, expect


def choose(page: Page, design: str) -> None:
    """Choose a design on the dashboard; its options appear without a reload."""
    page.get_by_role("link", name=design, exact=True).click()
    expect(page.get_by_role("button", name=f"Start {design}")).to_be_visible()


def launch(page: Page, label: str) -> None:
    """Run three of the article's clients and open the page of the run."""
    page.get_by_label("how many clients").fill("3")
    page.get_by_label("label").fill(label)
    page.get_by_role("button", name="Launch the clients").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(label)
    page.evaluate("window.sameDocument = true")


def figure(page: Page, label: str) -> str:
    """Return one of the large figures of a run that has ended."""
    return page.locator(".figures > div", has=page.get_by_text(label, exact=True)).locator("dd").inner_text()


def expect_ended(page: Page, peak: str) -> None:
    """Wait until the page shows the final state of its run, and check its figures."""
    expect(page.get_by_role("heading", name="What happened")).to_be_visible()
    assert page.evaluate("window.sameDocument"), "the page was loaded again"
    assert figure(page, "peak in service") == peak
    assert figure(page, "connections completed") == "3 of 3"
    expect(page.locator("[data-run-state]")).to_have_text("completed")
    expect(page.locator("[data-timeline] svg:visible")).to_have_count(1)
    log = page.get_by_role("region", name="The clients' log").locator("pre").inner_text()
    assert log.count("connected...") == log.count("disconnecting") == 3


def seconds(page: Page) -> float:
    """Return the duration of the run."""
    return float(figure(page, "duration").split()[0])


def test_demonstrations_of_the_article(context: BrowserContext) -> None:
    """Launch them while the previous ones are queued; each has its page open."""
    pool = context.new_page()
    pool.goto("/")
    choose(pool, "sequential")
    choose(pool, "bounded_pool")
    pool.get_by_label("workers").fill("2")
    pool.get_by_role("button", name="Start bounded_pool").click()
    expect(pool.get_by_text("listening")).to_be_visible()
    launch(pool, "pool of two")
    expect(pool.locator("[data-figure=in_service]")).to_have_text("2")

    one_by_one = context.new_page()
    one_by_one.goto("/")
    choose(one_by_one, "sequential")
    launch(one_by_one, "one by one")

    at_once = context.new_page()
    at_once.goto("/")
    choose(at_once, "thread_per_client")
    launch(at_once, "all at once")
    expect(at_once.get_by_text("Queued: ")).to_be_visible()

    expect(pool.locator("[data-timeline] svg:visible")).to_have_count(1)
    expect_ended(pool, peak="2")
    expect(pool.get_by_text("2 of 3 clients were served at once")).to_be_visible()
    expect_ended(one_by_one, peak="1")
    assert 6.0 < seconds(one_by_one) < 8.0
    expect_ended(at_once, peak="3")
    assert 2.0 < seconds(at_once) < 3.0


def test_run_is_cancelled_and_changed(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/")
    choose(page, "sequential")
    page.get_by_label("your own steps").check()
    page.get_by_label("steps", exact=True).fill("send ^a$\nexpect b\nwait 60")
    launch(page, "too long")
    expect(page.locator("[data-figure=in_service]")).to_have_text("1")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("[data-run-state]")).to_have_text("cancelled")
    page.get_by_role("link", name="Change and run").click()
    expect(page.get_by_label("label")).to_have_value("too long")
    page.get_by_label("steps", exact=True).fill("send ^a$\nexpect b")
    launch(page, "short enough")
    expect(page.locator("[data-run-state]")).to_have_text("completed")
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("short enough")
    expect(page.locator("[data-run-state]")).to_have_text("completed")


def test_groups_keep_typed_values(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/")
    page.get_by_label("how many clients").fill("2")
    page.get_by_role("link", name="closed", exact=True).click()
    page.get_by_label("duration").fill("0.3")
    page.get_by_role("link", name="Add a group").click()
    second = page.locator(".group").nth(1)
    second.get_by_role("link", name="idle", exact=True).click()
    second.get_by_label("hold").fill("0.5")
    page.get_by_role("link", name="Add a group").click()
    page.get_by_role("link", name="Remove group 3").click()
    expect(page.locator(".group")).to_have_count(2)
    expect(page.get_by_label("how many clients").first).to_have_value("2")
    page.get_by_role("button", name="Launch the clients").click()
    expect(page.locator("[data-run-state]")).to_have_text("completed")
    groups = page.get_by_role("region", name="Table: Groups")
    expect(groups.get_by_role("row", name="closed")).to_contain_text("2")
    expect(groups.get_by_role("row", name="idle")).to_be_visible()


def test_demonstration_starts_with_a_click(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/")
    page.get_by_role("button", name="A thread for each").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("A thread for each")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("[data-run-state]")).to_have_text("cancelled")


def test_dashboard_follows_other_tabs(context: BrowserContext) -> None:
    page, other = context.new_page(), context.new_page()
    page.goto("/")
    page.get_by_label("workers").fill("7")
    other.goto("/")
    choose(other, "elastic_pool")
    other.get_by_label("name").first.fill("of another")
    other.get_by_role("button", name="Start elastic_pool").click()
    row = page.get_by_role("row", name="of another")
    expect(row).to_contain_text("listening")
    other.get_by_role("button", name="Stop now").click()
    expect(row).to_contain_text("stopped")
    expect(page.get_by_label("workers")).to_have_value("7")
    other.get_by_text("Delete …").click()
    other.get_by_role("button", name="Delete of another").click()
    expect(row).to_have_count(0)


def test_button_copies_recipe(context: BrowserContext, finished_run: int) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"/runs/{finished_run}")
    page.locator("[data-copy=text-curl]").click()
    expect(page.locator("[data-copy=text-curl]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("curl -sS")


def test_pages_work_without_script(browser: Browser, base_url: str) -> None:
    context = browser.new_context(java_script_enabled=False, base_url=base_url)
    page = context.new_page()
    page.goto("/")
    page.get_by_role("link", name="sequential", exact=True).click()
    page.get_by_role("link", name="bounded_pool", exact=True).click()
    page.get_by_label("workers").fill("none")
    page.get_by_role("button", name="Start bounded_pool").click()
    expect(page.get_by_label("workers")).to_have_value("none")
    expect(page.locator("[id='workers-problem']")).to_have_text("must be a whole number")
    page.get_by_label("workers").fill("2")
    page.get_by_role("button", name="Start bounded_pool").click()
    expect(page.get_by_text("listening")).to_be_visible()
    page.get_by_label("your own steps").check()
    page.get_by_label("steps", exact=True).fill("send ^a$\nexpect b")
    page.get_by_role("button", name="Launch the clients").click()
    while page.get_by_role("button", name="Cancel").count():
        page.reload()
    expect(page.get_by_text("3 of 3").first).to_be_visible()
    page.get_by_role("link", name=re.compile(r"^server \d+$")).click()
    page.get_by_label("finish within (s)").fill("0.5")
    page.get_by_role("button", name="Drain and stop").click()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    page.get_by_text("Delete …").click()
    page.get_by_role("button", name="Delete ").click()
    expect(page.get_by_role("heading", name="Servers")).to_be_visible()
    context.close()
