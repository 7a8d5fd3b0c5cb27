"""What tells the threaded designs apart: who is served at once, who waits, who is turned away."""

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
from tests.support.servers import Peer, assert_healthy, running, server_config, wait_until


def connect(server: ServerHost, count: int, stack: ExitStack) -> list[Peer]:
    return [stack.enter_context(Peer(server)) for _ in range(count)]


def served_at_once(server: ServerHost, count: int, expected: int) -> None:
    """Connect `count` clients: exactly `expected` are greeted, and one more when one of those leaves."""
    with ExitStack() as stack:
        peers = connect(server, count, stack)
        wait_until(lambda: server.snapshot().totals.in_service == expected, f"{expected} are in service")
        greeted = [peer for peer in peers if peer.is_greeted_within(0.1)]
        assert len(greeted) == expected
        assert server.snapshot().totals.in_service == expected
        if expected < count:
            greeted[0].sock.close()
            waiting = next(peer for peer in peers if peer not in greeted)
            assert waiting.is_greeted_within(1.0)
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
def test_who_is_served_at_once(model: str, options: dict[str, object], expected: int) -> None:
    with running(model, **options) as server:
        served_at_once(server, 6, expected)


def test_the_executor_accepts_everybody_and_the_bounded_pool_leaves_them_to_the_kernel() -> None:
    accepted = {}
    for model, options in {"executor_pool": {"workers": 1}, "bounded_pool": {"workers": 1, "queue_limit": 2}}.items():
        with running(model, **options) as server, ExitStack() as stack:
            connect(server, 10, stack)
            # One in service, two queued, and one that the blocked accept loop holds.
            expected = 10 if model == "executor_pool" else 4
            wait_until(lambda: server.snapshot().totals.accepted == expected, "the accept loop took what it can")  # noqa: B023
            wait_until(lambda: server.snapshot().totals.accepted + (server.snapshot().accept_queue or 0) == 10, "rest")
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
def test_t21_a_full_server_that_refuses_closes_cleanly_within_100_ms_and_says_why(
    model: str, options: dict[str, object], why: str
) -> None:
    room = 2 if options.get("queue_limit") == 1 else 1
    with running(model, when_full="refuse", **options) as server, ExitStack() as stack:
        admitted = connect(server, 1, stack)
        admitted[0].greeted()
        admitted += connect(server, room - 1, stack)
        wait_until(lambda: server.snapshot().totals.active == room, "the server is full")
        for _ in range(3):
            with Peer(server) as extra:
                extra.send(b"^too early$")
                began = time.monotonic()
                assert extra.sock.recv(10) == b""  # an end, not a reset
                assert time.monotonic() - began < 0.1
        wait_until(lambda: server.snapshot().totals.outcomes["refused"] == 3, "each refusal is counted")
        # The others came too soon for another line.
        assert [(event.kind, event.detail) for event in server.events()] == [("refused", f"1 so far; {why}")]
        admitted[0].sock.close()


def test_every_worker_serves_and_is_named(  # the pool's picture needs it
) -> None:
    with running("bounded_pool", workers=3) as server, ExitStack() as stack:
        for peer in connect(server, 3, stack):
            peer.greeted()
        assert {record.worker for record in server.open_connections()} == {"worker-1", "worker-2", "worker-3"}
        assert server.snapshot().threads_alive == 4


def test_an_elastic_pool_grows_while_connections_wait_and_shrinks_when_workers_idle() -> None:
    options = {"min_workers": 1, "max_workers": 3, "grow_after_ms": 20, "shrink_after_s": 0.2}
    with running("elastic_pool", **options) as server:
        with ExitStack() as stack:
            connect(server, 5, stack)
            wait_until(lambda: server.snapshot().totals.in_service == 3, "it grew to its maximum")
            assert server.snapshot().queue_depth == 2
        wait_until(lambda: server.snapshot().threads_alive == 3, "it shrank to one worker, scaler and acceptor")
        kinds = [event.kind for event in server.events()]
        assert kinds.count("grew") == 2
        assert kinds.count("shrank") == 2
        assert all("ms" in event.detail for event in server.events() if event.kind == "grew")
        assert_healthy(server)


def test_t17_a_full_backlog_shows_in_connect_and_not_in_the_greeting() -> None:
    overflows = listen_overflows()
    with running("sequential", backlog=1) as server, ExitStack() as stack:
        stack.enter_context(Peer(server)).greeted()
        connect(server, 2, stack)  # the backlog and one more, as the kernel counts
        wait_until(lambda: server.snapshot().accept_queue == 2, "the kernel's queue is full")
        late = stack.enter_context(socket.socket())
        late.settimeout(0.3)
        with pytest.raises(TimeoutError):
            late.connect(server.address or ("", 0))
        assert server.snapshot().totals.accepted == 1
    assert (listen_overflows() or 0) > (overflows or 0)


def test_stop_answers_a_full_pool_whose_accept_loop_is_blocked() -> None:
    with running("bounded_pool", workers=1, queue_limit=0) as server, ExitStack() as stack:
        connect(server, 4, stack)
        wait_until(lambda: server.snapshot().totals.in_service == 1, "the worker serves the first")
        wait_until(lambda: server.snapshot().totals.waiting == 1, "the accept loop holds the second")
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 1.0
        assert server.snapshot().totals.outcomes["cut_off"] == 2


def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)


@pytest.mark.parametrize("model", ["thread_per_client", "capped_threads", "executor_pool"])
def test_t07_a_machine_without_threads_costs_one_client_and_the_server_lives(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(model) as server:
        with monkeypatch.context() as patch:
            refuse_threads(patch)
            with Peer(server) as unlucky:
                assert unlucky.receive_to_end() == b""
        wait_until(lambda: server.snapshot().totals.outcomes["error"] == 1, "the client is counted")
        assert server.snapshot().totals.events["spawn_failed"] == 1
        assert_healthy(server)


def test_t07_an_elastic_pool_that_cannot_grow_serves_on_with_the_workers_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running("elastic_pool", min_workers=1, grow_after_ms=1) as server, monkeypatch.context() as patch:
        refuse_threads(patch)
        with Peer(server) as first, Peer(server) as second:
            first.greeted()
            wait_until(lambda: server.snapshot().totals.events.get("spawn_failed") == 1, "it says that it cannot grow")
            assert server.snapshot().threads_alive == 3  # one worker, scaler and acceptor
            first.sock.close()
            assert second.is_greeted_within(1.0)
        assert_healthy(server)


@pytest.mark.parametrize("model", [name for name in MODELS if name != "c_threads"])
def test_t07_a_server_that_finds_no_thread_to_start_with_says_so_and_leaves_nothing(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
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
