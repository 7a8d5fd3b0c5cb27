"""Start, drain and stop: their guarantees, for any behaviour of the peers."""

from __future__ import annotations

import socket
import time

import pytest

from coreserver.errors import CannotStart, LifecycleError, PortInUse
from coreserver.hosting.host import ServerHost, host_for
from coreserver.models import MODELS
from coreserver.models.shared.base import ServerAddress, ServerModel, State
from tests.conformance.conftest import NewHost, StartServer
from tests.support.servers import (
    DEADLINE_S,
    Peer,
    assert_conserved,
    assert_healthy,
    is_refused,
    server_config,
    wait_next_greeted,
    wait_until,
)

PATIENT_DRAIN_S = 30.0


def test_port_is_below_the_ephemeral_range(server: ServerHost) -> None:
    assert server.address is not None
    with open("/proc/sys/net/ipv4/ip_local_port_range") as ephemeral:
        assert 1024 <= server.address.port < int(ephemeral.read().split()[0])
    assert server.state is State.LISTENING
    assert_healthy(server)


def test_listens_on_ipv6_loopback(start: StartServer) -> None:
    server = start(host="::1")
    assert_healthy(server)


def test_port_in_use_is_an_error(new_host: NewHost, server: ServerHost) -> None:
    assert server.address is not None
    second = new_host(port=server.address.port)
    with pytest.raises(PortInUse, match=str(server.address.port)):
        second.start()
    assert second.state is State.FAILED
    second.stop()
    assert_healthy(server)


def test_second_start_is_an_error(server: ServerHost) -> None:
    with pytest.raises(LifecycleError):
        server.start()
    assert_healthy(server)


def test_failure_while_starting_is_an_error(thread_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    design = MODELS[thread_model]
    opens = design._open

    def opens_and_fails(model: ServerModel) -> ServerAddress:
        address = opens(model)
        model._fail("accept failed: EBADMSG")
        return address

    monkeypatch.setattr(design, "_open", opens_and_fails)
    server = host_for(server_config(thread_model))
    with pytest.raises(CannotStart, match="EBADMSG"):
        server.start()
    assert is_refused(server)


def test_stop_without_clients(server: ServerHost) -> None:
    server.stop()
    assert is_refused(server)
    assert server.state is State.STOPPED
    assert server.failure is None  # no thread was still alive at the deadline


def test_stop_twice_and_before_start(new_host: NewHost, server: ServerHost) -> None:
    server.stop()
    server.stop()
    never_started = new_host()
    never_started.stop()
    assert never_started.state is State.STOPPED


@pytest.mark.every_case
def test_stop_cuts_off_every_peer(start: StartServer) -> None:
    server = start(backlog=128)
    peers = [Peer(server) for _ in range(40)]
    wait_next_greeted(peers)
    unread = Peer(server, receive_buffer=4096)
    unread.sock.setblocking(False)
    unread.sock.send(b"^" + b"a" * 60_000)
    server.stop()
    assert server.failure is None  # no thread was still alive at the deadline
    assert is_refused(server)
    for peer in peers:
        peer.receive_to_end()
        peer.sock.close()
    unread.sock.close()
    assert_conserved(server)
    assert server.snapshot().totals.active == 0
    assert server.snapshot().totals.outcomes["error"] == 0  # they were cut off, not lost with their process


def test_port_can_be_used_again_at_once(new_host: NewHost, server: ServerHost) -> None:
    assert server.address is not None
    with Peer(server) as left_open:
        left_open.wait_greeted()
        server.stop()
        for _ in range(20 if server.config.placement == "thread" else 3):
            again = new_host(port=server.address.port)
            again.start()
            with Peer(again) as peer:
                assert peer.wait_greeted().ask(b"^a$") == b"b"
            again.stop()


def test_drain_lets_a_request_finish(start: StartServer) -> None:
    server = start(work={"kind": "sleep", "mean_ms": 200})
    with Peer(server) as peer:
        peer.wait_greeted()
        peer.send(b"^slow$")
        peer.sock.shutdown(socket.SHUT_WR)
        drained = server.drain(PATIENT_DRAIN_S)
        assert peer.receive_to_end() == b"tmpx"
    assert (drained.finished, drained.cut_off) == (1, 0)
    assert "cut_off" not in server.snapshot().totals.events
    assert drained.took_s < PATIENT_DRAIN_S
    assert is_refused(server)


@pytest.mark.every_case
def test_drain_cuts_off_at_its_deadline(server: ServerHost) -> None:
    with Peer(server) as peer:
        peer.wait_greeted()
        drained = server.drain(0.2)
        assert peer.receive_to_end() == b""
    assert (drained.finished, drained.cut_off) == (0, 1)
    assert 0.2 <= drained.took_s < DEADLINE_S
    assert server.snapshot().totals.outcomes["cut_off"] == 1
    assert [event.detail for event in server.events() if event.kind == "cut_off"] == ["connections still open: 1"]
    assert server.state is State.STOPPED


def test_draining_server_refuses_connects(start: StartServer) -> None:
    server = start(work={"kind": "sleep", "mean_ms": 300})
    with Peer(server) as peer:
        peer.wait_greeted()
        peer.send(b"^a$")
        peer.sock.shutdown(socket.SHUT_WR)
        wait_until(lambda: server.snapshot().totals.in_service == 1, "the request is in service")
        server.drain(PATIENT_DRAIN_S)
        assert is_refused(server)
        assert peer.receive_to_end() == b"b"


def test_drain_after_stop_is_an_error(server: ServerHost) -> None:
    server.stop()
    with pytest.raises(LifecycleError):
        server.drain(0.1)


def test_stop_wakes_a_sleeping_worker(start: StartServer) -> None:
    server = start(work={"kind": "sleep", "mean_ms": 60_000})
    with Peer(server) as peer:
        peer.wait_greeted()
        peer.send(b"^a$")
        wait_until(lambda: server.snapshot().totals.in_service == 1, "the request is in service")
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < DEADLINE_S
    assert server.failure is None


def test_max_connections_leaves_others_waiting(start: StartServer) -> None:
    server = start(max_connections=1)
    with Peer(server) as first, Peer(server) as second:
        first.wait_greeted()
        assert not second.is_greeted_within(0.2)
        assert server.snapshot().totals.accepted == 1
        first.sock.close()
        second.wait_greeted()
    assert_healthy(server)
