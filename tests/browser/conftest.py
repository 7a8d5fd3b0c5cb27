"""A real lab and Debian's Chromium; whatever a page should not do fails the test that opened it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, expect

from tests.browser.lab_process import LabProcess

QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE_MS = 20_000

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The machine's own Chromium, told not to call home."""
    return {**browser_type_launch_args, "executable_path": shutil.which("chromium"), "args": QUIET}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProcess]:
    """One lab for all tests that do not restart it."""
    with LabProcess(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="session")
def base_url(lab: LabProcess) -> str:
    """What `page.goto("/")` is relative to."""
    return lab.url


@pytest.fixture
def context(context: BrowserContext, base_url: str) -> Iterator[BrowserContext]:
    """A context in which nothing may leave the lab's origin, and no page may complain."""
    faults: list[str] = []

    def watch(page: Page) -> None:
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("console", complain)
        page.on("request", leave)
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))

    def complain(message: ConsoleMessage) -> None:
        expected = "status of 4" in message.text  # Chromium's word for a page that came back with a reason
        if message.type in ("error", "warning") and not expected:
            faults.append(f"console: {message.text}")

    def leave(request: Request) -> None:
        if not request.url.startswith((base_url + "/", "data:")):
            faults.append(f"request to {request.url}")

    context.on("page", watch)
    yield context
    assert faults == []


@pytest.fixture(scope="session")
def finished_run(lab: LabProcess) -> int:
    """A run with a report, and a server that stands, so that every page has something to show."""
    import httpx

    with httpx.Client(base_url=f"{lab.url}/api/v1", timeout=30) as rest:
        rest.post("/servers", json={"model": "bounded_pool", "workers": 2, "name": "standing"}).raise_for_status()
        steps = [{"send": "^abc$"}, {"expect": "bcd"}]
        body = {
            "label": "shown everywhere",
            "server": {"model": "bounded_pool", "workers": 2},
            "clients": [{"kind": "script", "count": 3, "script": steps}],
        }
        run = rest.post("/runs", params={"wait_s": 20}, json=body).raise_for_status().json()
        assert run["state"] == "completed"
        return int(run["id"])


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[LabProcess]:
    """A lab for a test that restarts it."""
    with LabProcess(tmp_path) as lab:
        yield lab
