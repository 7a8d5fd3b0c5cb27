"""Faults of the machine: accept errors, resource limits (lowered in children only), forked children, signals."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from coreserver.hosting.host import ServerHost
from coreserver.models.shared.accept_loop import TRANSIENT
from coreserver.models.shared.base import State
from tests.conformance.conftest import StartServer
from tests.support.servers import Peer, assert_healthy, is_refused, running, wait_until


@contextmanager
def accept_raises(patch: pytest.MonkeyPatch, *codes: int) -> Iterator[list[int]]:
    """Make every accept of this process fail with the next of `codes`, then work again; yield the codes left."""
    left = list(codes)
    accept = socket.socket.accept

    def failing(sock: socket.socket) -> tuple[socket.socket, object]:
        if left:
            raise OSError(left.pop(0), "injected")
        return accept(sock)

    with patch.context() as inner:
        inner.setattr(socket.socket, "accept", failing)
        yield left


def test_network_errors_of_accept_are_transient(thread_server: ServerHost, monkeypatch: pytest.MonkeyPatch) -> None:
    with accept_raises(monkeypatch, *sorted(TRANSIENT)) as left:
        assert_healthy(thread_server)
        assert left == []


def test_accept_pauses_without_memory(thread_server: ServerHost, monkeypatch: pytest.MonkeyPatch) -> None:
    with accept_raises(monkeypatch, errno.ENOBUFS, errno.ENOMEM, errno.EMFILE) as left:
        assert_healthy(thread_server)
        assert left == []
    assert thread_server.snapshot().totals.events["accept_paused"] == 1


def test_unknown_accept_error_fails_the_server(thread_server: ServerHost, monkeypatch: pytest.MonkeyPatch) -> None:
    with accept_raises(monkeypatch, errno.EBADMSG):
        with suppress(ConnectionResetError):
            Peer(thread_server).sock.close()
        wait_until(lambda: thread_server.state is State.FAILED, "the server has failed")
    assert "EBADMSG" in (thread_server.failure or "")
    assert is_refused(thread_server)
    thread_server.stop()


PRELUDE = """
    import os, resource, select, signal, socket, sys, time
    from tests.support.servers import Peer, running, wait_next_greeted, wait_until
    [model] = sys.argv[1:]
    """


def in_child(model: str, scenario: str, *, send_signal: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run `scenario` in a new interpreter; with a signal, send it once the child has printed `ready`."""
    command = [sys.executable, "-c", textwrap.dedent(PRELUDE) + textwrap.dedent(scenario), model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            first = child.stdout.readline() if send_signal else ""
            if send_signal and first == "ready\n":
                child.send_signal(send_signal)
            out, err = child.communicate(timeout=50)
        finally:
            child.kill()
    return subprocess.CompletedProcess(child.args, child.returncode, first + out, err)


def test_descriptor_limit_delays_clients_only(thread_model: str) -> None:
    done = in_child(
        thread_model,
        """
        with running(model, backlog=128, idle_timeout_s=25.0) as server:
            address = server.address
            peers = [socket.socket() for _ in range(40)]
            used = len(os.listdir("/proc/self/fd"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            for peer in peers:
                peer.connect(address)
            began, cpu = time.monotonic(), time.process_time()
            wait_until(lambda: time.monotonic() - began > 0.6, "some time at the limit")
            assert (time.process_time() - cpu) < 0.09, "spins at the limit"
            assert len(server.events()) < 12, "floods its events"
            while peers:
                readable, _, _ = select.select(peers, [], [], 20.0)
                assert readable, f"{len(peers)} clients were not greeted"
                for peer in readable:
                    assert peer.recv(1) == b"*"
                    peer.close()
                    peers.remove(peer)
        print("served all")
        """,
    )
    assert done.stdout == "served all\n", done.stderr


def test_servers_of_a_process_share_descriptors(thread_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coreserver.models.shared.open_connections.descriptors_for_connections", lambda: 4)
    with running("thread_per_client") as taker, ExitStack() as stack:
        takers = [stack.enter_context(Peer(taker)).wait_greeted() for _ in range(4)]
        wait_until(lambda: "accept_paused" in taker.snapshot().totals.events, "the first server has paused")
        with running(thread_model) as server, Peer(server) as late:
            wait_until(lambda: "accept_paused" in server.snapshot().totals.events, "the second server has paused")
            assert "all 4 descriptors" in server.events()[-1].detail
            assert not late.is_greeted_within(0.1)
            for peer in takers:
                peer.sock.close()
            late.wait_greeted()


@pytest.mark.per_protocol("what the engine keeps of a message")
def test_endless_message_needs_no_memory(server: ServerHost) -> None:
    def resident() -> int:
        with open(f"/proc/{server.pid}/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    piece = b"a" * 65536
    with Peer(server) as peer:
        peer.wait_greeted()
        peer.send(b"^")
        for _ in range(20):
            peer.ask_inside(piece)
        before = resident()
        for _ in range(800):
            peer.ask_inside(piece)
        assert resident() - before < 5_000_000


def test_stopped_client_is_closed_as_idle(start: StartServer) -> None:
    server = start(idle_timeout_s=0.4)
    assert server.address is not None
    client = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import socket; s = socket.create_connection({tuple(server.address)!r});"
            "assert s.recv(1) == b'*'; print('in', flush=True); s.recv(1)",
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert client.stdout is not None
        assert client.stdout.readline() == b"in\n"
        client.send_signal(signal.SIGSTOP)
        wait_until(lambda: server.snapshot().totals.outcomes["idle_timeout"] == 1, "it is closed as idle")
    finally:
        client.kill()
        client.communicate()
    assert_healthy(server)


@pytest.mark.parametrize("nodelay", [True, False], ids=["nodelay", "delayed"])
def test_nodelay_avoids_delayed_acknowledgements(start: StartServer, nodelay: bool) -> None:
    server = start(nodelay=nodelay, reply="per_byte")
    took = []
    with Peer(server) as peer:
        peer.wait_greeted()
        for _ in range(15):
            began = time.monotonic()
            assert peer.ask(b"^abcdefgh$") == b"bcdefghi"
            took.append(time.monotonic() - began)
    took.sort()
    if nodelay:
        assert took[2] < 0.02  # a delayed acknowledgement comes after 40 ms; a busy machine may delay some replies
    else:
        assert took[7] > 0.02


def test_same_port_on_another_address(start: StartServer) -> None:
    first = start()
    assert first.address is not None
    for host in ("127.0.0.2", "::1"):
        assert_healthy(start(host=host, port=first.address.port))
    assert_healthy(first)


def test_fork_does_not_keep_the_listener_open(thread_model: str, thread_server: ServerHost) -> None:
    assert thread_server.address is not None
    hold, release = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(release)
        os.read(hold, 1)
        os._exit(0)
    try:
        thread_server.stop()
        assert is_refused(thread_server)
        with running(thread_model, port=thread_server.address.port) as successor:
            assert_healthy(successor)
    finally:
        os.close(release)
        os.close(hold)
        os.waitpid(child, 0)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["interrupt", "terminate"])
def test_interpreter_ends_while_clients_idle(thread_model: str, sent: int) -> None:
    done = in_child(
        thread_model,
        """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            with running(model) as server:
                idle = [Peer(server) for _ in range(3)]
                wait_next_greeted(idle)
                print("ready", flush=True)
                while True:
                    time.sleep(0.02)  # pause() would wait without end if the signal arrived just before it
        except KeyboardInterrupt:
            pass
        """,
        send_signal=sent,
    )
    assert done.stdout == "ready\n", done.stderr
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr


def test_conservation_holds_at_every_instant(start: StartServer) -> None:
    server = start(backlog=256, idle_timeout_s=0.15)
    with ExitStack() as stack:
        for number in range(40):
            peer = Peer(server)
            if number % 4 == 0:
                peer.reset()
            elif number % 4 == 1:
                peer.send(b"^a$")
                peer.sock.close()
            else:
                stack.enter_context(peer)
            totals = server.snapshot().totals
            assert totals.accepted == totals.active + sum(totals.outcomes.values())
            assert totals.waiting >= 0
            assert totals.in_service >= 0
        wait_until(lambda: server.snapshot().totals.accepted == 40, "every connection was accepted", 30.0)
        wait_until(lambda: server.snapshot().totals.active == 0, "every connection has ended", 30.0)
    assert_healthy(server)
