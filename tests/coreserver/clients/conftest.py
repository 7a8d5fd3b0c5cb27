"""Fixtures of the clients' tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="session", autouse=True)
def libuv_is_set_up() -> None:
    """The first uvloop of a process opens a pipe that belongs to libuv for good; it is nobody's leak."""
    uvloop.new_event_loop().close()


@pytest.fixture(params=list(LOOPS))
def loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Each event loop a client process may run on."""
    return LOOPS[request.param]
