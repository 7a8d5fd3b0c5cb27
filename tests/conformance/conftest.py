"""The cases: every model of `MODELS`, started with the options a story asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from coreserver.host import ServerHost
from coreserver.models import MODELS
from coreserver.protocol import ProtocolEngine
from tests.support import running

StartServer = Callable[..., ServerHost]


@pytest.fixture(params=list(MODELS))
def model(request: pytest.FixtureRequest) -> str:
    """The name of the model under test."""
    name: str = request.param
    return name


@pytest.fixture
def start(model: str) -> Iterator[StartServer]:
    """Starts a server of the model with the given options; all are stopped at the end."""
    with ExitStack() as servers:

        def start_server(**options: Any) -> ServerHost:
            return servers.enter_context(running(model, **options))

        yield start_server


@pytest.fixture
def server(start: StartServer) -> ServerHost:
    """A server of the model with its default options."""
    return start()


@pytest.fixture
def thread_model(model: str) -> str:
    """The name of the model under test, for stories about threads of this process."""
    return model


@pytest.fixture
def thread_server(thread_model: str) -> Iterator[ServerHost]:
    """A server in threads of this process, so that a story can reach into it."""
    with running(thread_model) as host:
        yield host


@pytest.fixture
def break_engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Make the protocol engine raise on data that contains the given bytes: an error of our own."""

    def break_on(poison: bytes) -> None:
        receive = ProtocolEngine.receive

        def raising(engine: ProtocolEngine, data: bytes) -> bytes:
            if poison in data:
                raise ValueError("boom")
            return receive(engine, data)

        monkeypatch.setattr(ProtocolEngine, "receive", raising)

    return break_on
