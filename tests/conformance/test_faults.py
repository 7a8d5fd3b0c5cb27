"""Faults of the network and of peers: one bad peer loses its own connection and no other."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
import pytest

from coreserver.hosting.host import ServerHost
from tests.conformance.conftest import StartServer
from tests.support.servers import DEADLINE_S, Peer, assert_conserved, assert_healthy, running, wait_until


def outcomes(server: ServerHost) -> dict[str, int]:
    """Return the outcomes counted so far, without zeros."""
    return {name: count for name, count in server.snapshot().totals.outcomes.items() if count}


@pytest.mark.every_case
def test_reset_inside_a_message(server: ServerHost) -> None:
    bad = Peer(server).wait_greeted()
    bad.send(b"^abc")
    bad.receive(3)
    bad.reset()
    wait_until(lambda: outcomes(server) == {"reset": 1}, "the reset is counted")
    assert_healthy(server)


def test_reset_before_accept(server: ServerHost) -> None:
    for _ in range(20):
        Peer(server).reset()
    assert_healthy(server)
    assert outcomes(server).keys() <= {"completed", "reset"}


def test_peers_that_leave_before_the_reply(start: StartServer) -> None:
    server = start(backlog=128)
    for _ in range(100):
        with Peer(server) as hasty:
            hasty.send(b"^" + b"a" * 1000)
    assert_healthy(server)
    assert server.snapshot().totals.accepted == 101
    assert outcomes(server).keys() <= {"completed", "reset"}


def test_connect_scan_leaves_nothing_behind(start: StartServer) -> None:
    server = start(backlog=1024)
    process = psutil.Process(server.pid)
    assert_healthy(server)
    descriptors = process.num_fds()
    for _ in range(500):
        Peer(server).sock.close()
    wait_until(lambda: sum(outcomes(server).values()) >= 500, "all connections were accepted and have ended")
    assert_healthy(server)
    assert outcomes(server).keys() <= {"completed", "reset"}
    wait_until(lambda: process.num_fds() <= descriptors, "every descriptor is closed")


def test_idle_timeout_closes_a_silent_peer(start: StartServer) -> None:
    server = start(idle_timeout_s=0.3)
    with Peer(server) as silent:
        silent.wait_greeted()
        began = time.monotonic()
        assert silent.receive_to_end() == b""
        assert 0.2 < time.monotonic() - began < DEADLINE_S
    wait_until(lambda: outcomes(server) == {"idle_timeout": 1}, "the idle timeout is counted")
    assert_healthy(server)


def test_slow_drip_is_not_idle(start: StartServer) -> None:
    server = start(idle_timeout_s=1.2)  # a busy machine may delay this loop by several tenths of a second
    with Peer(server) as dripping:
        dripping.wait_greeted()
        dripping.send(b"^")
        began = time.monotonic()
        while time.monotonic() - began < 1.6:
            assert dripping.ask_inside(b"a") == b"b"
            time.sleep(0.05)
    wait_until(lambda: outcomes(server) == {"completed": 1}, "the session has completed")


def keep_busy(peer: Peer) -> None:
    """Exchange bytes until the server ends the connection."""
    with suppress(ConnectionResetError, BrokenPipeError):
        while peer.ask_inside(b"a"):
            pass


def test_max_session_closes_a_busy_peer(start: StartServer) -> None:
    server = start(max_session_s=0.3)
    with Peer(server) as busy:
        busy.wait_greeted()
        busy.send(b"^")
        began = time.monotonic()
        keep_busy(busy)
        assert 0.2 < time.monotonic() - began < DEADLINE_S
    wait_until(lambda: outcomes(server) == {"session_timeout": 1}, "the session timeout is counted")
    assert_healthy(server)


def fill(peer: Peer, total: int = 32_000_000) -> None:
    """Send a message until the kernel takes no more, or until `total` bytes are sent."""
    peer.sock.settimeout(0.2)
    peer.send(b"^")
    try:
        for _ in range(total // 65536):
            peer.send(b"a" * 65536)
    except TimeoutError:
        return


def test_write_timeout_closes_a_stalled_reader(start: StartServer) -> None:
    server = start(write_timeout_s=0.3, idle_timeout_s=60.0)
    with Peer(server, receive_buffer=4096) as stalled:
        stalled.wait_greeted()
        fill(stalled)
        wait_until(lambda: outcomes(server) == {"write_timeout": 1}, "the write timeout is counted")
    assert_healthy(server)


def test_slow_reader_survives_the_write_timeout(start: StartServer) -> None:
    # Each reply is so long that reading it takes far longer than the timeout.
    server = start(write_timeout_s=1.5, idle_timeout_s=20.0, read_bytes=1_000_000)
    with Peer(server, receive_buffer=4096) as slow:
        slow.wait_greeted()
        fill(slow)
        began = time.monotonic()
        while time.monotonic() - began < 2.0:
            assert slow.sock.recv(2000)
            time.sleep(0.02)
        assert outcomes(server) == {}
        slow.reset()
    wait_until(lambda: outcomes(server) == {"reset": 1}, "the reader left")


@pytest.mark.parametrize("model", ["event_loop", "c_threads", "thread_per_client"])
def test_max_session_ends_a_stalled_reader(model: str) -> None:
    with running(model, max_session_s=1.0) as server, Peer(server, receive_buffer=4096) as stalled:
        stalled.wait_greeted()
        time.sleep(0.7)  # a send may then block for longer than is left of the session
        with suppress(ConnectionResetError, BrokenPipeError):
            fill(stalled)
        wait_until(lambda: bool(server.recent()), "the session ended")
        [record] = server.recent()
    assert record.outcome == "session_timeout"
    # Without its own limit the send would last until the write timeout, 10 s.
    assert 1.0 <= ((record.finished_ns or 0) - (record.started_ns or 0)) / 1e9 < 9.0


def test_idle_peers_make_room_for_others(start: StartServer) -> None:
    server = start(idle_timeout_s=0.25)
    holders = [Peer(server) for _ in range(9)]  # one more than a pool has workers
    with Peer(server) as late:
        late.wait_greeted()
    for holder in holders:
        holder.sock.close()
    assert_healthy(server)


@pytest.mark.per_protocol("the engine raises")
def test_internal_error_ends_one_connection(thread_server: ServerHost, break_engine: Callable[[bytes], None]) -> None:
    break_engine(b"boom")
    for _ in range(30):
        with Peer(thread_server) as peer:
            peer.wait_greeted()
            peer.send(b"^boom$")
            assert peer.receive_to_end() == b""
    wait_until(lambda: outcomes(thread_server) == {"error": 30}, "each error is counted")
    assert any("boom" in event.detail for event in thread_server.events())
    assert_healthy(thread_server)


@pytest.mark.per_protocol("where a message begins")
@pytest.mark.every_case
def test_work_is_done_before_each_reply(start: StartServer) -> None:
    server = start(work={"kind": "sleep", "mean_ms": 60})
    with Peer(server) as peer:
        peer.wait_greeted()
        began = time.monotonic()
        assert peer.ask(b"^a$") == b"b"
        assert time.monotonic() - began >= 0.06
        began = time.monotonic()
        assert peer.ask(b"^a$^b$") == b"bc"
        assert time.monotonic() - began >= 0.12


@pytest.mark.per_protocol("the first reply")
def test_work_per_connection_is_done_once(start: StartServer) -> None:
    server = start(work={"kind": "sleep", "mean_ms": 300, "per": "connection"})
    with Peer(server) as peer:
        peer.wait_greeted()
        began = time.monotonic()
        assert peer.ask(b"^a$") == b"b"
        assert time.monotonic() - began >= 0.3  # the greeting came before the work
        began = time.monotonic()
        assert peer.ask(b"^a$" * 10) == b"b" * 10
        assert time.monotonic() - began < 10 * 0.3


@pytest.mark.per_protocol("bytes and messages counted")
@pytest.mark.every_case
def test_every_stamp_and_count_is_recorded(server: ServerHost) -> None:
    subscription = server.subscribe()
    with Peer(server) as peer:
        peer.wait_greeted()
        peer.ask(b"^abc$^de$x^f")
        local = peer.sock.getsockname()[:2]
    wait_until(lambda: outcomes(server) == {"completed": 1}, "the connection ended")
    server.unsubscribe(subscription)
    [record] = subscription.take()
    assert record.peer == tuple(local)
    assert record.started_ns is not None
    assert record.finished_ns is not None
    assert record.accepted_ns <= record.started_ns <= record.finished_ns
    assert (record.bytes_in, record.bytes_out, record.messages) == (12, 7, 2)
    assert record.outcome == "completed"
    assert record.worker
    assert_conserved(server)


def test_half_open_crowd_costs_no_cpu(start: StartServer) -> None:
    server = start(idle_timeout_s=20.0)
    crowd = [Peer(server) for _ in range(30)]
    for peer in crowd:
        peer.sock.shutdown(socket.SHUT_RD)
    process = psutil.Process(server.pid)
    before = sum(process.cpu_times()[:2])
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 0.4, "some time has passed")
    assert sum(process.cpu_times()[:2]) - before < 0.2
    for peer in crowd:
        peer.reset()
    assert_healthy(server)
