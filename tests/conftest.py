"""Fixtures and order of all tests: leak check after every test, no Hypothesis deadline, browser tests last."""

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

# A deadline per example would measure the machine. In CI every run uses the same examples, so that a failure is caused
# by the change under test.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

_call_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the project's options."""
    parser.addoption("--every-case", action="store_true", help="conformance: every scenario for every case")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run browser tests last, because synchronous Playwright leaves an event loop running in the main thread.

    The longest of their files comes first, so that the other workers do not wait for it at the end.
    """
    items.sort(key=lambda item: (item.path.is_relative_to(BROWSER_TESTS), item.path.name != LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record whether the test itself failed, for `nothing_left_behind`."""
    report = yield
    if report.when == "call":
        item.stash[_call_failed] = report.failed
    return report


@pytest.fixture(scope="session", autouse=True)
def libuv_pipe() -> None:
    """Create the pipe that libuv opens with its first loop and keeps open, before the first leak check."""
    uvloop.new_event_loop().close()


@pytest.fixture(scope="session", autouse=True)
def default_sigint() -> None:
    """Restore SIGINT: a shell's background jobs ignore it, and so would the programs that tests interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, a descriptor, a listening socket or a child process behind.

    Pytest sets up fixtures of wider scope first, so the resources of a session's server or browser exist before and
    after. A test that has failed is not checked, because its traceback keeps its sockets alive.
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
