"""What a network does to a server: one bad peer costs itself and nobody else."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
import pytest

from coreserver.hosting.host import ServerHost
from tests.conformance.conftest import StartServer
from tests.support.servers import Peer, assert_conserved, assert_healthy, running, wait_until


def outcomes(server: ServerHost) -> dict[str, int]:
    """The outcomes counted so far, zeros left out."""
    return {name: count for name, count in server.snapshot().totals.outcomes.items() if count}


@pytest.mark.every_case
def test_t03_a_reset_in_the_middle_of_a_message_hurts_nobody_else(server: ServerHost) -> None:
    bad = Peer(server).greeted()
    bad.send(b"^abc")
    bad.receive(3)
    bad.reset()
    wait_until(lambda: outcomes(server) == {"reset": 1}, "the reset is counted")
    assert_healthy(server)


def test_t04_a_reset_before_accept_hurts_nobody(server: ServerHost) -> None:
    for _ in range(20):
        Peer(server).reset()
    assert_healthy(server)
    assert outcomes(server).keys() <= {"completed", "reset"}


def test_t10_peers_that_send_and_leave_before_the_reply_hurt_nobody(start: StartServer) -> None:
    server = start(backlog=128)
    for _ in range(100):
        with Peer(server) as hasty:
            hasty.send(b"^" + b"a" * 1000)
    assert_healthy(server)
    assert server.snapshot().totals.accepted == 101
    assert outcomes(server).keys() <= {"completed", "reset"}


def test_t18_a_connect_scan_leaves_nothing_behind(start: StartServer) -> None:
    server = start(backlog=1024)
    process = psutil.Process(server.pid)
    assert_healthy(server)
    descriptors = process.num_fds()
    for _ in range(500):
        Peer(server).sock.close()
    wait_until(lambda: sum(outcomes(server).values()) >= 500, "all have been accepted, and have ended")
    assert_healthy(server)
    assert outcomes(server).keys() <= {"completed", "reset"}
    wait_until(lambda: process.num_fds() <= descriptors, "every descriptor is given back")


def test_t01_a_silent_peer_is_closed_by_the_idle_timeout(start: StartServer) -> None:
    server = start(idle_timeout_s=0.3)
    with Peer(server) as silent:
        silent.greeted()
        began = time.monotonic()
        assert silent.receive_to_end() == b""
        assert 0.2 < time.monotonic() - began < 1.3
    wait_until(lambda: outcomes(server) == {"idle_timeout": 1}, "the idle timeout is counted")
    assert_healthy(server)


def test_t02_a_slow_drip_is_not_idle(start: StartServer) -> None:
    server = start(idle_timeout_s=0.3)
    with Peer(server) as dripping:
        dripping.greeted()
        dripping.send(b"^")
        began = time.monotonic()
        while time.monotonic() - began < 0.7:
            assert dripping.ask_inside(b"a") == b"b"
            time.sleep(0.07)
    wait_until(lambda: outcomes(server) == {"completed": 1}, "the drip was served to its end")


def keep_busy(peer: Peer) -> None:
    """EventDrivenSession bytes until the server ends the connection."""
    with suppress(ConnectionResetError, BrokenPipeError):
        while peer.ask_inside(b"a"):
            pass


def test_t02_max_session_closes_even_a_busy_peer(start: StartServer) -> None:
    server = start(max_session_s=0.3)
    with Peer(server) as busy:
        busy.greeted()
        busy.send(b"^")
        began = time.monotonic()
        keep_busy(busy)
        assert 0.2 < time.monotonic() - began < 1.3
    wait_until(lambda: outcomes(server) == {"session_timeout": 1}, "the session timeout is counted")
    assert_healthy(server)


def fill(peer: Peer, total: int = 32_000_000) -> None:
    """Send a message until the kernel takes no more, or `total` bytes went."""
    peer.sock.settimeout(0.2)
    peer.send(b"^")
    try:
        for _ in range(total // 65536):
            peer.send(b"a" * 65536)
    except TimeoutError:
        return


def test_t08_a_peer_that_never_reads_is_closed_by_the_write_timeout(start: StartServer) -> None:
    server = start(write_timeout_s=0.3, idle_timeout_s=20.0)
    with Peer(server, receive_buffer=4096) as deaf:
        deaf.greeted()
        fill(deaf)
        wait_until(lambda: outcomes(server) == {"write_timeout": 1}, "the write timeout is counted", 5.0)
    assert_healthy(server)


def test_t09_a_slow_but_healthy_reader_survives_the_write_timeout(start: StartServer) -> None:
    # Replies so long that each takes its reader far longer than the timeout.
    server = start(write_timeout_s=0.4, idle_timeout_s=20.0, read_bytes=1_000_000)
    with Peer(server, receive_buffer=4096) as slow:
        slow.greeted()
        fill(slow)
        began = time.monotonic()
        while time.monotonic() - began < 1.0:
            assert slow.sock.recv(2000)
            time.sleep(0.02)
        assert outcomes(server) == {}
        slow.reset()
    wait_until(lambda: outcomes(server) == {"reset": 1}, "the reader left")


@pytest.mark.parametrize("model", ["event_loop", "c_threads", "thread_per_client"])
def test_t08_max_session_ends_in_time_a_peer_that_stops_reading_late(model: str) -> None:
    with running(model, max_session_s=1.0) as server, Peer(server, receive_buffer=4096) as deaf:
        deaf.greeted()
        time.sleep(0.7)  # so that a send that waits for longer than is left of the session ends far too late
        with suppress(ConnectionResetError, BrokenPipeError):
            fill(deaf)
        wait_until(lambda: bool(server.recent()), "the session ended")
        [record] = server.recent()
    assert record.outcome == "session_timeout"
    assert 1.0 <= ((record.finished_ns or 0) - (record.started_ns or 0)) / 1e9 < 1.6


def test_t01_idle_holders_do_not_outlive_their_timeout(start: StartServer) -> None:
    server = start(idle_timeout_s=0.25)
    holders = [Peer(server) for _ in range(9)]  # one more than a pool has workers
    with Peer(server) as late:
        late.sock.settimeout(9 * 0.25 + 3)
        assert late.sock.recv(1) == b"*"
    for holder in holders:
        holder.sock.close()
    assert_healthy(server)


def test_t27_an_error_of_ours_costs_one_connection(
    thread_server: ServerHost, break_engine: Callable[[bytes], None]
) -> None:
    break_engine(b"boom")
    for _ in range(30):
        with Peer(thread_server) as peer:
            peer.greeted()
            peer.send(b"^boom$")
            assert peer.receive_to_end() == b""
    wait_until(lambda: outcomes(thread_server) == {"error": 30}, "each error is counted")
    assert any("boom" in event.detail for event in thread_server.events())
    assert_healthy(thread_server)


@pytest.mark.every_case
def test_work_is_done_before_each_reply(start: StartServer) -> None:
    server = start(work={"kind": "sleep", "mean_ms": 60})
    with Peer(server) as peer:
        peer.greeted()
        began = time.monotonic()
        assert peer.ask(b"^a$") == b"b"
        assert time.monotonic() - began >= 0.06
        began = time.monotonic()
        assert peer.ask(b"^a$^b$") == b"bc"
        assert time.monotonic() - began >= 0.12


def test_work_per_connection_is_done_once(start: StartServer) -> None:
    server = start(work={"kind": "sleep", "mean_ms": 300, "per": "connection"})
    with Peer(server) as peer:
        began = time.monotonic()
        assert peer.is_greeted_within(0.25)
        assert peer.ask(b"^a$") == b"b"
        assert time.monotonic() - began >= 0.3
        began = time.monotonic()
        assert peer.ask(b"^a$" * 10) == b"b" * 10
        assert time.monotonic() - began < 0.25


@pytest.mark.every_case
def test_every_stamp_and_count_of_a_connection_is_recorded(server: ServerHost) -> None:
    subscription = server.subscribe()
    with Peer(server) as peer:
        peer.greeted()
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


def test_a_half_open_crowd_costs_no_cpu(start: StartServer) -> None:
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
