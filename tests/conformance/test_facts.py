"""The facts that each design declares are true of its servers."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from coreserver.config.server import ServerOptions
from coreserver.hosting.host import ServerHost
from coreserver.models import MODELS
from coreserver.records.server import Discipline
from tests.conformance.conftest import StartServer
from tests.support.servers import Peer, running, server_config, wait_next_greeted, wait_until

CROWD = 12  # more clients than a pool has workers


def test_only_declared_threads_serve(case: tuple[str, str], start: StartServer) -> None:
    design = MODELS[case[0]]
    server = start(backlog=CROWD, max_connections=CROWD)
    most, names = design.max_threads(server.config), design.worker_names(server.config)
    assert most is not None, "max_connections limits the threads of every design"
    busy = 0
    with ExitStack() as stack:
        waiting = [stack.enter_context(Peer(server)) for _ in range(CROWD)]
        while waiting:
            waiting.remove(peer := wait_next_greeted(waiting))
            busy = max(busy, server.snapshot().threads_busy or 0)
            peer.sock.close()
    wait_until(lambda: server.snapshot().totals.outcomes["completed"] == CROWD, "every client was served")
    served_by = {record.worker for record in server.recent()}
    assert busy <= most
    assert not served_by & set(design.support_threads)
    if len(names) == most:  # neither a pool that grows nor one thread per connection
        assert served_by <= set(names)


def one_worker(model: str) -> ServerOptions:
    """Return the configuration with one worker, for designs that have the option."""
    options = {"workers": 1} if "workers" in MODELS[model].Config.model_fields else {}
    return server_config(model, **options)


def serves_one_at_a_time(model: str) -> bool:
    """Whether one worker serves, and the others wait in one queue."""
    return MODELS[model].discipline is not None and MODELS[model].max_threads(one_worker(model)) == 1


def waiting_in(server: ServerHost) -> int | None:
    """Return how many clients wait: in the queue of the design if it has one, else in the backlog."""
    snapshot = server.snapshot()
    return snapshot.accept_queue if snapshot.queue_depth is None else snapshot.totals.waiting


@pytest.mark.parametrize("model", [name for name in MODELS if serves_one_at_a_time(name)])
def test_order_of_service_is_the_declared_one(model: str) -> None:
    with running(**one_worker(model).model_dump(exclude_unset=True)) as server, ExitStack() as stack:
        busy = stack.enter_context(Peer(server)).wait_greeted()
        waiting: list[Peer] = []
        for _ in range(3):
            waiting.append(stack.enter_context(Peer(server)))
            wait_until(lambda: waiting_in(server) == len(waiting), "the client waits")
        is_newest_first = MODELS[model].discipline is Discipline.LAST_COME_FIRST_SERVED
        for following in reversed(waiting) if is_newest_first else list(waiting):
            busy.sock.close()
            busy = wait_next_greeted([peer for peer in waiting if peer.sock.fileno() >= 0])
            assert busy is following
