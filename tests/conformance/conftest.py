"""The cases: every model of `MODELS` in every placement it has, started with the options a story asks for.

An interpreter of its own takes a third of a second to start, and what can differ there is the transport, not the
design. So the suite tells the stories marked `every_case` for all models in a process, and the rest for `WHOLE` of
them; `make test ARGS=--every-case` tells every story for every case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, get_args

import pytest

from coreserver.hosting.host import ServerHost, host_for
from coreserver.models import MODELS
from coreserver.protocols.article import ProtocolEngine
from tests.support.servers import running, server_config

StartServer = Callable[..., ServerHost]
NewHost = Callable[..., ServerHost]
CASES = [
    (name, placement)
    for placement in ("thread", "process")
    for name, model in MODELS.items()
    if placement in get_args(model.Config.model_fields["placement"].annotation)
]


WHOLE = ("event_loop", "c_threads")  # a model in an interpreter of its own, and a program of its own


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The cases of this story."""
    if "case" in metafunc.fixturenames:
        every = metafunc.config.getoption("--every-case") or metafunc.definition.get_closest_marker("every_case")
        cases = [(model, place) for model, place in CASES if every or place == "thread" or model in WHOLE]
        metafunc.parametrize("case", cases, ids="-".join)


@pytest.fixture
def new_host(case: tuple[str, str]) -> NewHost:
    """Makes a host of the case with the given options; starting and stopping it is the story's."""
    model, placement = case
    return lambda **options: host_for(server_config(model, placement=placement, **options))


@pytest.fixture
def start(case: tuple[str, str]) -> Iterator[StartServer]:
    """Starts a server of the case with the given options; all are stopped at the end."""
    model, placement = case
    with ExitStack() as servers:

        def start_server(**options: Any) -> ServerHost:
            return servers.enter_context(running(model, placement=placement, **options))

        yield start_server


@pytest.fixture
def server(start: StartServer) -> ServerHost:
    """A server of the model with its default options."""
    return start()


@pytest.fixture(params=[model for model, placement in CASES if placement == "thread"])
def thread_model(request: pytest.FixtureRequest) -> str:
    """The name of the model under test, for stories about threads of this process."""
    name: str = request.param
    return name


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
