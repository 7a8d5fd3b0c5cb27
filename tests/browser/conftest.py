"""A real lab and Debian's Chromium. A console error or a request to another origin fails the test of the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.support.gallery import Gallery, fill
from tests.support.lab_process import LabProcess
from tests.support.page_watch import Faults

QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
TIMEOUT_MS = 20_000

expect.set_options(timeout=TIMEOUT_MS)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Use the installed Chromium, with its background network requests disabled."""
    return {**browser_type_launch_args, "executable_path": shutil.which("chromium"), "args": QUIET}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProcess]:
    """One lab for all tests that do not restart it and do not need an empty one."""
    with LabProcess(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="session")
def base_url(lab: LabProcess) -> str:
    """The base URL of `page.goto("/")`."""
    return lab.url


@pytest.fixture
def context(context: BrowserContext, base_url: str) -> Iterator[BrowserContext]:
    """A browser context that fails the test after an error on a page or a request to another origin."""
    with Faults(context, base_url, TIMEOUT_MS):
        yield context


@pytest.fixture(scope="session")
def gallery(lab: LabProcess) -> Gallery:
    """A listening server, a stopped one, and runs with every outcome, so that every page has content."""
    with httpx.Client(base_url=f"{lab.url}/api/v1", timeout=30) as rest:
        return fill(rest)


@pytest.fixture(scope="session")
def finished_run(gallery: Gallery) -> int:
    """A run with a report."""
    return gallery.completed


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[LabProcess]:
    """An empty lab of one test, which may restart it."""
    with LabProcess(tmp_path) as lab:
        yield lab


@pytest.fixture
def own_context(browser: Browser, own_lab: LabProcess) -> Iterator[BrowserContext]:
    """A browser context for `own_lab`, with the same checks as `context`."""
    context = browser.new_context(base_url=own_lab.url)
    with Faults(context, own_lab.url, TIMEOUT_MS):
        yield context
    context.close()
