"""What holds for every test: nothing is left behind, Hypothesis has no deadline, browser tests come last."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
import uvloop

from tests.support.leaks import Holdings, wait_released

RELEASE_DEADLINE_S = 5.0
BROWSER_TESTS = Path(__file__).parent / "browser"
LONGEST = "test_looks.py"

# A deadline per example would measure the machine. In CI every run tries the same examples, so that a red run is due
# to the change it belongs to.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

_call_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our own options."""
    parser.addoption("--every-case", action="store_true", help="conformance: every story for every case")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests last, since sync Playwright leaves an event loop running in the main thread.

    Of their files the longest comes first: a worker that began it last would keep the others waiting.
    """
    items.sort(key=lambda item: (item.path.is_relative_to(BROWSER_TESTS), item.path.name != LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keeps whether the test itself failed, for `nothing_left_behind`."""
    report = yield
    if report.when == "call":
        item.stash[_call_failed] = report.failed
    return report


@pytest.fixture(scope="session", autouse=True)
def what_stays_for_the_whole_process() -> None:
    """libuv makes a pipe with its first loop and keeps it until the process ends; make it before the first look."""
    uvloop.new_event_loop().close()


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> None:
    """What a shell starts in the background ignores SIGINT, and so would the programs that tests interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a thread, a descriptor, a listening socket or a child behind.

    Pytest sets up fixtures of wider scope first, so what a session's server or browser holds is there before and after.
    A test that has failed is not asked: its traceback holds on to its sockets.
    """
    if request.node.get_closest_marker("leaves_behind"):
        yield
        return
    before = Holdings.now()
    yield
    if request.node.stash.get(_call_failed, False):
        return
    if left := wait_released(before, RELEASE_DEADLINE_S):
        pytest.fail(f"still held {RELEASE_DEADLINE_S:g} s after the test:\n{left}", pytrace=False)
