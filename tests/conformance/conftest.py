"""The cases of the conformance suite: every model of `MODELS` in every placement it supports.

Which scenarios run for which case:

- A model in a separate interpreter takes a third of a second to start, and only the transport can differ there, not the
  design. So scenarios marked `every_case` run for all models in a process, the others for `IN_A_PROCESS` only;
  `make test ARGS=--every-case` runs every scenario for every case.
- Scenarios marked `per_protocol`, each with its reason, depend on the bytes of the protocol: replies, message
  boundaries, counts. A second protocol runs them for every model. The others test the design around the bytes (accept,
  limits, timeouts, drain, stop, faults of the network and the machine) and run for one protocol, the article's.

No scenario assumes an order of service. Which of several waiting clients is served next is the design's choice, so
scenarios wait for any of them (`wait_next_greeted`). Only `test_facts.py` checks an order: the one that the design
declares.
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
IN_A_PROCESS = ("event_loop", "c_threads")  # a model in a separate interpreter, and a C program


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each scenario its cases."""
    if "case" in metafunc.fixturenames:
        every = metafunc.config.getoption("--every-case") or metafunc.definition.get_closest_marker("every_case")
        cases = [(model, place) for model, place in CASES if every or place == "thread" or model in IN_A_PROCESS]
        metafunc.parametrize("case", cases, ids="-".join)


@pytest.fixture
def new_host(case: tuple[str, str]) -> NewHost:
    """Return a function that creates a host of the case with the given options; the scenario starts and stops it."""
    model, placement = case
    return lambda **options: host_for(server_config(model, placement=placement, **options))


@pytest.fixture
def start(case: tuple[str, str]) -> Iterator[StartServer]:
    """Return a function that starts a server of the case with the given options; all are stopped at the end."""
    model, placement = case
    with ExitStack() as servers:

        def start_server(**options: Any) -> ServerHost:
            return servers.enter_context(running(model, placement=placement, **options))

        yield start_server


@pytest.fixture
def server(start: StartServer) -> ServerHost:
    """Start a server of the case with its default options."""
    return start()


@pytest.fixture(params=[model for model, placement in CASES if placement == "thread"])
def thread_model(request: pytest.FixtureRequest) -> str:
    """Return the name of the model under test, for scenarios about threads of this process."""
    name: str = request.param
    return name


@pytest.fixture
def thread_server(thread_model: str) -> Iterator[ServerHost]:
    """Start a server in threads of this process, so that a scenario can patch what it calls."""
    with running(thread_model) as host:
        yield host


@pytest.fixture
def break_engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Return a function that makes the protocol engine raise on data that contains the given bytes."""

    def break_on(poison: bytes) -> None:
        receive = ProtocolEngine.receive

        def raising(engine: ProtocolEngine, data: bytes) -> bytes:
            if poison in data:
                raise ValueError("boom")
            return receive(engine, data)

        monkeypatch.setattr(ProtocolEngine, "receive", raising)

    return break_on
