"""Behaviour of the event-driven designs only: which clients delay each other, and which do not."""

from __future__ import annotations

import logging
import resource
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack, suppress

import pytest

from coreserver.config.server import ServerOptions
from coreserver.errors import ConfigError
from coreserver.hosting.host import ServerHost, ThreadHost, host_for
from coreserver.models.event_loop import EventLoop
from coreserver.models.shared.base import State
from tests.support.servers import DEADLINE_S, Peer, assert_healthy, oracle, running, server_config, wait_until

DESIGNS = [("event_loop", {}), ("asyncio", {"loop": "uvloop"}), ("asyncio", {"loop": "asyncio"})]
BUFFER_LIMIT = 1024 * 1024


@pytest.fixture(params=DESIGNS, ids=["event_loop", "uvloop", "asyncio"])
def design(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return a model and the options that select its loop."""
    model, options = request.param
    return {"model": model, **options}


def push(peer: Peer, data: bytes) -> int:
    """Send as much of `data` as the server takes while no reply is read; return how many bytes that is."""
    peer.sock.settimeout(0.3)
    sent = 0
    with suppress(TimeoutError), memoryview(data) as view:
        while sent < len(data):
            sent += peer.sock.send(view[sent : sent + 65536])
    peer.sock.settimeout(DEADLINE_S)
    return sent


def resident(server: ServerHost) -> int:
    with open(f"/proc/{server.pid}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def test_peer_that_does_not_read_is_not_read(design: dict[str, str]) -> None:
    flood = b"^" + b"a" * 40_000_000
    with running(**design, placement="process") as server, ExitStack() as stack:
        stalled = [stack.enter_context(Peer(server, receive_buffer=4096)).wait_greeted() for _ in range(4)]
        before = resident(server)
        taken = [push(peer, flood) for peer in stalled]
        assert max(taken) < len(flood)
        assert resident(server) - before < len(stalled) * BUFFER_LIMIT + 4_000_000
        with Peer(server) as other:
            assert other.wait_greeted().ask(b"^abc$") == b"bcd"


def test_late_reader_gets_every_reply(design: dict[str, str]) -> None:
    stream = b"".join(b"^%d$" % number for number in range(1_500_000))
    with running(**design) as server, Peer(server, receive_buffer=4096) as late:
        late.wait_greeted()
        taken = push(late, stream)
        reply = oracle(stream[:taken])
        assert late.receive(len(reply)) == reply


def test_sleep_delays_no_other_client(design: dict[str, str]) -> None:
    with running(**design, work={"kind": "sleep", "mean_ms": 400}) as server, ExitStack() as stack:
        peers = [stack.enter_context(Peer(server)).wait_greeted() for _ in range(20)]
        began = time.monotonic()
        for peer in peers:
            peer.send(b"^a$")
        for peer in peers:
            assert peer.receive(1) == b"b"
        assert 0.4 <= time.monotonic() - began < 0.4 * 10


def test_cpu_work_delays_other_clients(design: dict[str, str]) -> None:
    with running(**design, work={"kind": "cpu", "mean_ms": 100}) as server, ExitStack() as stack:
        peers = [stack.enter_context(Peer(server)).wait_greeted() for _ in range(4)]
        began = time.monotonic()
        for peer in peers:
            peer.send(b"^a$")
        took = []
        for peer in peers:
            assert peer.receive(1) == b"b"
            took.append(time.monotonic() - began)
        assert max(took) >= 0.4


def test_messages_wait_for_earlier_work(design: dict[str, str]) -> None:
    with running(**design, work={"kind": "mixed", "cpu_ms": 5, "sleep_ms": 50}) as server, Peer(server) as peer:
        peer.wait_greeted()
        began = time.monotonic()
        peer.send(b"^a$^bc")
        peer.send(b"d$ ^")
        assert peer.receive(4) == b"bcde"
        assert time.monotonic() - began >= 0.1
        peer.send(b"e")
        assert peer.receive(1) == b"f"
        assert time.monotonic() - began >= 0.15


def test_half_close_during_sleep(design: dict[str, str]) -> None:
    with running(**design, work={"kind": "sleep", "mean_ms": 20}) as server, Peer(server) as peer:
        peer.send(b"^a$" * 10)
        peer.sock.shutdown(1)
        assert peer.receive_to_end() == b"*" + b"b" * 10


def test_buffered_reply_after_a_half_close(monkeypatch: pytest.MonkeyPatch) -> None:
    for mark in ("HIGH_WATER", "BUFFER_LIMIT"):  # so that the server reads everything and buffers part of the reply
        monkeypatch.setattr(f"coreserver.models.event_loop.{mark}", 2**30)
    size = 6_000_000
    with running("event_loop") as server, Peer(server, receive_buffer=4096) as peer:
        peer.wait_greeted()
        assert isinstance(server, ThreadHost)
        assert isinstance(server._model, EventLoop)
        [session] = server._model._sessions.values()
        peer.send(b"^" + b"a" * size)
        peer.sock.shutdown(socket.SHUT_WR)
        wait_until(lambda: session.eof, "the server has read to the end")
        assert session.unsent_bytes() > 0
        assert peer.receive_to_end() == b"b" * size


def test_busy_loop_makes_no_peer_idle(design: dict[str, str]) -> None:
    with (
        running(**design, idle_timeout_s=0.5, work={"kind": "cpu", "mean_ms": 700}) as server,
        Peer(server) as first,
        Peer(server) as second,
    ):
        first.wait_greeted()
        second.wait_greeted()
        first.send(b"^a$")
        wait_until(lambda: server.snapshot().totals.in_service == 2, "both are in service")
        second.send(b"^b$")
        assert first.receive(1) == b"b"
        assert second.receive(1) == b"c"


def test_stop_ends_a_computation(design: dict[str, str]) -> None:
    with running(**design, work={"kind": "cpu", "mean_ms": 60_000}) as server, Peer(server) as peer:
        peer.wait_greeted()
        peer.send(b"^a$")
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < DEADLINE_S
        assert server.state is State.STOPPED
        assert server.failure is None


def test_reset_between_bytes_logs_nothing(design: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    with running(**design, reply="per_byte") as server, caplog.at_level(logging.DEBUG):
        for _ in range(5):
            peer = Peer(server).wait_greeted()
            peer.send(b"^" + b"a" * 60_000)
            peer.receive(100)
            peer.reset()
        assert_healthy(server)
        assert server.snapshot().totals.outcomes["reset"] == 5
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_peer_resets_during_its_sleep(design: dict[str, str]) -> None:
    with running(**design, work={"kind": "sleep", "mean_ms": 100}) as server:
        peer = Peer(server).wait_greeted()
        peer.send(b"^a$^b$")
        peer.reset()
        wait_until(lambda: server.snapshot().totals.outcomes["reset"] == 1, "the reset is counted")
        with Peer(server) as other:
            assert other.wait_greeted().ask(b"^a$") == b"b"


def test_max_session_ends_a_sleep(design: dict[str, str]) -> None:
    with (
        running(**design, work={"kind": "sleep", "mean_ms": 30_000}, max_session_s=0.3) as server,
        Peer(server) as peer,
    ):
        peer.wait_greeted()
        peer.send(b"^a$")
        assert peer.receive_to_end() == b""
        wait_until(lambda: server.snapshot().totals.outcomes["session_timeout"] == 1, "the session timeout is counted")


# --- limits of the machine, in a child -------------------------------------------------------------------------------

PRELUDE = """
    import json, os, resource, socket, sys, time
    from tests.support.servers import Peer, assert_healthy, running, wait_until
    design = json.loads(sys.argv[1])
    """


def in_child(design: dict[str, str], scenario: str) -> subprocess.CompletedProcess[str]:
    """Run `scenario` in a new interpreter."""
    code = textwrap.dedent(PRELUDE) + textwrap.dedent(scenario)
    config = server_config(**design).model_dump_json(include=set(design))
    return subprocess.run([sys.executable, "-c", code, config], capture_output=True, text=True, timeout=50)


def test_descriptors_past_1023_are_served(design: dict[str, str]) -> None:
    done = in_child(
        design,
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 3000), hard))
        held = [os.dup(0) for _ in range(1100)]
        with running(**design) as server:
            assert_healthy(server)
            with Peer(server) as peer:
                assert peer.wait_greeted().ask(b"^a$") == b"b"
        print("served")
        """,
    )
    assert done.stdout == "served\n", done.stderr
    assert done.stderr == ""


def test_descriptor_limit_pauses_accept(design: dict[str, str]) -> None:
    done = in_child(
        design,
        """
        with running(**design, backlog=128) as server:
            peers = [socket.socket() for _ in range(60)]
            used = len(os.listdir("/proc/self/fd"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            for peer in peers:
                peer.connect(server.address)
            wait_until(lambda: "accept_paused" in server.snapshot().totals.events, "accept is paused")
            began, cpu = time.monotonic(), time.process_time()
            wait_until(lambda: time.monotonic() - began > 0.5, "half a second at the limit")
            assert time.process_time() - cpu < 0.1, "spins"
            totals = server.snapshot().totals
            assert 15 < totals.accepted == totals.in_service < 25, totals
            for peer in peers[: totals.accepted]:
                peer.settimeout(20.0)
                assert peer.recv(1) == b"*"
            for peer in peers:
                peer.close()
            wait_until(lambda: server.snapshot().totals.accepted == 60, "the other clients are accepted")
            wait_until(lambda: server.snapshot().totals.active == 0, "every connection has ended")
        print("recorded")
        """,
    )
    assert done.stdout == "recorded\n", done.stderr
    assert done.stderr == ""


# --- timers ----------------------------------------------------------------------------------------------------------


def test_short_sleeps_are_precise(design: dict[str, str]) -> None:
    sleep_s = 0.0003
    work = {"kind": "sleep", "mean_ms": sleep_s * 1000, "distribution": "fixed"}
    with running(**design, work=work) as server, Peer(server) as peer:
        peer.wait_greeted()
        took_s = []
        for _ in range(60):
            began = time.monotonic()
            assert peer.ask(b"^a$") == b"b"
            took_s.append(time.monotonic() - began)
    took_s.sort()
    assert took_s[0] >= sleep_s
    assert took_s[1] < 0.0009  # a timer of whole milliseconds needs 1.3 ms; a busy machine delays most of the others


# --- the choice of the loop ------------------------------------------------------------------------------------------


def loop_of(config: ServerOptions) -> str:
    host = host_for(config)
    host.start()
    try:
        return host.details["loop"]
    finally:
        host.stop()


@pytest.mark.parametrize("placement", ["thread", "process"])
@pytest.mark.parametrize(("wanted", "name"), [("auto", "uvloop "), ("uvloop", "uvloop "), ("asyncio", "asyncio")])
def test_details_name_the_loop(wanted: str, name: str, placement: str) -> None:
    assert loop_of(server_config("asyncio", loop=wanted, placement=placement)).startswith(name)


def test_uvloop_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_of(server_config("asyncio")) == "asyncio"
    refused = host_for(server_config("asyncio", loop="uvloop"))
    with pytest.raises(ConfigError, match="not installed") as caught:
        refused.start()
    assert caught.value.field == "loop"
    refused.stop()
