"""A real lab and Debian's Chromium; whatever a page should not do fails the test that opened it."""

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
PATIENCE_MS = 20_000

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The machine's own Chromium, told not to call home."""
    return {**browser_type_launch_args, "executable_path": shutil.which("chromium"), "args": QUIET}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabProcess]:
    """One lab for all tests that neither restart it nor need it empty."""
    with LabProcess(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="session")
def base_url(lab: LabProcess) -> str:
    """What `page.goto("/")` is relative to."""
    return lab.url


@pytest.fixture
def context(context: BrowserContext, base_url: str) -> Iterator[BrowserContext]:
    """A context in which nothing may leave the lab's origin, and no page may complain."""
    with Faults(context, base_url, PATIENCE_MS):
        yield context


@pytest.fixture(scope="session")
def gallery(lab: LabProcess) -> Gallery:
    """A server that stands, one that was stopped, runs of every ending: every page has something to show."""
    with httpx.Client(base_url=f"{lab.url}/api/v1", timeout=30) as rest:
        return fill(rest)


@pytest.fixture(scope="session")
def finished_run(gallery: Gallery) -> int:
    """A run with a report."""
    return gallery.completed


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[LabProcess]:
    """An empty lab, for a test that needs that or restarts it."""
    with LabProcess(tmp_path) as lab:
        yield lab


@pytest.fixture
def own_context(browser: Browser, own_lab: LabProcess) -> Iterator[BrowserContext]:
    """A context for the pages of `own_lab`, watched as every other."""
    context = browser.new_context(base_url=own_lab.url)
    with Faults(context, own_lab.url, PATIENCE_MS):
        yield context
    context.close()
