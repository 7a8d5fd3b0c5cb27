"""Fixtures for tests of clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def libuv_is_set_up() -> None:
    """Create the first uvloop before the tests: it opens a pipe that libuv keeps, which is not a leak."""
    uvloop.new_event_loop().close()


@pytest.fixture(params=list(LOOPS))
def loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return each kind of event loop that a client process may use."""
    return LOOPS[request.param]
