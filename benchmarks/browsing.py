"""Times of page loads in Chromium, each in its own context."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, sync_playwright

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
QUIET_MS = 1000
WATCH = """window.measuredTasks = [];
new PerformanceObserver((list) => {
    for (const task of list.getEntries()) window.measuredTasks.push([task.startTime, task.duration]);
}).observe({ type: "longtask", buffered: true });
new MutationObserver(() => {
    if (!window.measuredReady && document.querySelector(".explore--ready")) window.measuredReady = performance.now();
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["class"] });"""
IS_QUIET = """() => {
    const end = window.measuredTasks.reduce((latest, [start, took]) => Math.max(latest, start + took), 0);
    const [load] = performance.getEntriesByType("navigation");
    return load.loadEventEnd > 0 && performance.now() - Math.max(end, load.loadEventEnd) > %d;
}"""
READ = """() => ({
    load: performance.getEntriesByType("navigation")[0].loadEventEnd,
    paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
    ready: window.measuredReady,
    tasks: window.measuredTasks,
})"""


@dataclass(frozen=True)
class PageLoad:
    """One load of a page; times in seconds since its request."""

    painted_s: float
    loaded_s: float
    ready_s: float
    interactive_s: float
    long_tasks_s: float


def load_page(base_url: str, path: str, times: int) -> list[PageLoad]:
    """Load the page at `path` `times` times with empty caches, after one load that is not counted."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        loads = [_open(browser, base_url + path) for _ in range(times + 1)]
        browser.close()
    return loads[1:]  # the first one includes the start of the browser


def _open(browser: Browser, url: str) -> PageLoad:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(WATCH)
    page = context.new_page()
    page.goto(url, timeout=120_000)
    page.wait_for_function(IS_QUIET % QUIET_MS, timeout=120_000)
    seen: dict[str, Any] = page.evaluate(READ)
    context.close()
    ends = [start + took for start, took in seen["tasks"]]
    return PageLoad(
        painted_s=seen["paint"] / 1e3,
        loaded_s=seen["load"] / 1e3,
        ready_s=seen["ready"] / 1e3,
        interactive_s=max([seen["load"], seen["ready"], *ends]) / 1e3,
        long_tasks_s=sum(took for _, took in seen["tasks"]) / 1e3,
    )
