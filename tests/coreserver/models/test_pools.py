"""How the threaded designs differ: how many clients they serve at once, where others wait, and who is refused."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack

import pytest

from coreserver.errors import CannotStart
from coreserver.hosting.host import ServerHost, host_for
from coreserver.models import MODELS
from coreserver.models.shared.base import State
from coreserver.telemetry.machine import listen_overflows
from tests.support.servers import Peer, assert_healthy, running, server_config, wait_next_greeted, wait_until


def connect(server: ServerHost, count: int, stack: ExitStack) -> list[Peer]:
    return [stack.enter_context(Peer(server)) for _ in range(count)]


def served_at_once(server: ServerHost, count: int, expected: int) -> None:
    """Connect `count` clients: exactly `expected` are greeted, and one more when one of them leaves."""
    with ExitStack() as stack:
        waiting = connect(server, count, stack)
        for _ in range(expected):
            waiting.remove(greeted := wait_next_greeted(waiting))
        if waiting:
            assert not waiting[0].is_greeted_within(0.1)
            assert server.snapshot().totals.in_service == expected
            greeted.sock.close()
            wait_next_greeted(waiting)
    assert_healthy(server)


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        ("sequential", {}, 1),
        ("thread_per_client", {}, 6),
        ("executor_pool", {"workers": 2}, 2),
        ("bounded_pool", {"workers": 2}, 2),
        ("bounded_pool", {"workers": 2, "queue_limit": 0}, 2),
        ("capped_threads", {"max_clients": 3}, 3),
        ("elastic_pool", {"min_workers": 1, "max_workers": 4, "grow_after_ms": 5}, 4),
    ],
)
def test_clients_served_at_once(model: str, options: dict[str, object], expected: int) -> None:
    with running(model, **options) as server:
        served_at_once(server, 6, expected)


def test_only_the_executor_accepts_without_limit() -> None:
    accepted = {}
    for model, options in {"executor_pool": {"workers": 1}, "bounded_pool": {"workers": 1, "queue_limit": 2}}.items():
        with running(model, **options) as server, ExitStack() as stack:
            connect(server, 10, stack)
            # One in service, two queued, and one in the blocked accept loop.
            expected = 10 if model == "executor_pool" else 4
            wait_until(lambda: server.snapshot().totals.accepted == expected, "the accept loop has taken what it can")  # noqa: B023
            wait_until(
                lambda: server.snapshot().totals.accepted + (server.snapshot().accept_queue or 0) == 10,
                "the others are in the backlog",
            )
            accepted[model] = server.snapshot().totals.accepted
    assert accepted == {"executor_pool": 10, "bounded_pool": 4}


@pytest.mark.parametrize(
    ("model", "options", "why"),
    [
        ("bounded_pool", {"workers": 1, "queue_limit": 0}, "workers busy: 1, connections waiting: 0"),
        ("bounded_pool", {"workers": 1, "queue_limit": 1}, "workers busy: 1, connections waiting: 1"),
        ("capped_threads", {"max_clients": 1}, "clients in service: 1"),
    ],
)
def test_full_server_refuses_with_a_clean_eof(model: str, options: dict[str, object], why: str) -> None:
    room = 2 if options.get("queue_limit") == 1 else 1
    with running(model, when_full="refuse", **options) as server, ExitStack() as stack:
        admitted = connect(server, 1, stack)
        admitted[0].wait_greeted()
        admitted += connect(server, room - 1, stack)
        wait_until(lambda: server.snapshot().totals.active == room, "the server is full")
        took_s = []
        for _ in range(3):
            with Peer(server) as extra:
                extra.send(b"^too early$")
                began = time.monotonic()
                assert extra.sock.recv(10) == b""  # an EOF, not a reset
                took_s.append(time.monotonic() - began)
        assert min(took_s) < 0.1  # at once, and not only when a client leaves
        wait_until(lambda: server.snapshot().totals.outcomes["refused"] == 3, "each refusal is counted")
        # The event has a minimum interval, so the later refusals add no line.
        assert [(event.kind, event.detail) for event in server.events()] == [("refused", f"1 so far; {why}")]
        admitted[0].sock.close()


def test_every_worker_serves_under_its_name() -> None:
    with running("bounded_pool", workers=3) as server, ExitStack() as stack:
        for peer in connect(server, 3, stack):
            peer.wait_greeted()
        assert {record.worker for record in server.open_connections()} == {"worker-1", "worker-2", "worker-3"}
        assert server.snapshot().threads_alive == 4


def test_elastic_pool_grows_and_shrinks() -> None:
    options = {"min_workers": 1, "max_workers": 3, "grow_after_ms": 20, "shrink_after_s": 0.2}
    with running("elastic_pool", **options) as server:
        with ExitStack() as stack:
            connect(server, 5, stack)
            wait_until(lambda: server.snapshot().totals.in_service == 3, "the pool has its maximum of workers")
            assert server.snapshot().queue_depth == 2
        wait_until(lambda: server.snapshot().threads_alive == 3, "one worker, the scaler and the acceptor are left")
        kinds = [event.kind for event in server.events()]
        assert kinds.count("grew") == 2
        assert kinds.count("shrank") == 2
        assert all("ms" in event.detail for event in server.events() if event.kind == "grew")
        assert_healthy(server)


def test_full_backlog_delays_the_connect() -> None:
    overflows = listen_overflows()
    with running("sequential", backlog=1) as server, ExitStack() as stack:
        stack.enter_context(Peer(server)).wait_greeted()
        connect(server, 2, stack)  # the kernel allows one more than the backlog
        wait_until(lambda: server.snapshot().accept_queue == 2, "the backlog is full")
        late = stack.enter_context(socket.socket())
        late.settimeout(0.3)
        with pytest.raises(TimeoutError):
            late.connect(server.address or ("", 0))
        assert server.snapshot().totals.accepted == 1
    assert (listen_overflows() or 0) > (overflows or 0)


def test_stop_wakes_a_blocked_accept_loop() -> None:
    with running("bounded_pool", workers=1, queue_limit=0) as server, ExitStack() as stack:
        connect(server, 4, stack)
        wait_until(lambda: server.snapshot().totals.in_service == 1, "the worker serves the first client")
        wait_until(lambda: server.snapshot().totals.waiting == 1, "the accept loop holds the second client")
        server.stop()
        assert server.failure is None
        assert server.snapshot().totals.outcomes["cut_off"] == 2


def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)


@pytest.mark.parametrize("model", ["thread_per_client", "capped_threads", "executor_pool"])
def test_refused_thread_costs_one_client(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(model) as server:
        with monkeypatch.context() as patch:
            refuse_threads(patch)
            with Peer(server) as unlucky:
                assert unlucky.receive_to_end() == b""
        wait_until(lambda: server.snapshot().totals.outcomes["error"] == 1, "the error is counted")
        assert server.snapshot().totals.events["spawn_failed"] == 1
        assert_healthy(server)


def test_elastic_pool_serves_if_it_cannot_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running("elastic_pool", min_workers=1, grow_after_ms=1) as server, monkeypatch.context() as patch:
        refuse_threads(patch)
        with Peer(server) as first, Peer(server) as second:
            first.wait_greeted()
            wait_until(lambda: server.snapshot().totals.events.get("spawn_failed") == 1, "the pool could not grow")
            assert server.snapshot().threads_alive == 3  # one worker, the scaler and the acceptor
            first.sock.close()
            second.wait_greeted()
        assert_healthy(server)


@pytest.mark.parametrize("model", [name for name in MODELS if name != "c_threads"])
def test_start_without_threads_is_an_error(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = host_for(server_config(model))
    with monkeypatch.context() as patch:
        refuse_threads(patch)
        with pytest.raises(CannotStart, match="can't start new thread"):
            server.start()
    assert server.state is State.FAILED
    assert "can't start new thread" in (server.failure or "")
    server.stop()
    with running(model) as another:
        assert_healthy(another)
