"""The host interface: the same results in every placement."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest

from coreserver.clock import now_ns
from coreserver.hosting.host import ServerHost, host_for
from coreserver.models.shared.base import State
from coreserver.records.server import ConnectionRecord
from coreserver.telemetry.machine import listen_overflows
from tests.support.servers import Peer, assert_conserved, assert_healthy, running, server_config, wait_until

PLACES = [("thread_per_client", "thread"), ("thread_per_client", "process"), ("c_threads", "process")]


@pytest.fixture(params=PLACES, ids="-".join)
def server(request: pytest.FixtureRequest) -> Iterator[ServerHost]:
    """Run a thread-per-client server in each placement."""
    model, placement = request.param
    with running(model, placement=placement) as host:
        yield host


def test_records_are_equal_in_every_placement(server: ServerHost) -> None:
    subscription = server.subscribe()
    ended: list[ConnectionRecord] = []

    def end_of(count: int) -> None:
        def are_there() -> bool:
            ended.extend(subscription.take())
            assert_conserved(server)
            return len(ended) == count

        wait_until(are_there, f"{count} connections have ended")

    began = now_ns()
    with Peer(server) as first:
        assert first.wait_greeted().ask(b"^abc$^de$") == b"bcdef"
    end_of(1)
    second = Peer(server).wait_greeted()
    second.send(b"^abc")
    second.receive(3)
    second.reset()
    end_of(2)
    third = Peer(server).wait_greeted()
    wait_until(lambda: server.snapshot().totals.in_service == 1, "the third is in service")
    wait_until(lambda: server.snapshot().threads_busy == 1, "a sample counts it")
    [still_open] = server.open_connections()
    assert (still_open.number, still_open.worker, still_open.outcome) == (3, "client-3", None)
    drained = server.drain(0.1)
    end_of(3)
    third.sock.close()

    assert (drained.finished, drained.cut_off) == (0, 1)
    assert [(r.number, r.worker, r.outcome, r.bytes_in, r.bytes_out, r.messages) for r in ended] == [
        (1, "client-1", "completed", 9, 6, 2),
        (2, "client-2", "reset", 4, 4, 0),
        (3, "client-3", "cut_off", 0, 1, 0),
    ]
    for record in ended:
        assert record.started_ns is not None
        assert record.finished_ns is not None
        assert began <= record.accepted_ns <= record.started_ns <= record.finished_ns <= now_ns()
    assert server.recent() == ended
    assert server.open_connections() == []
    assert subscription.lost == 0
    snapshot = server.snapshot()
    assert (snapshot.state, snapshot.threads_alive, snapshot.accept_queue) == (State.STOPPED, 0, None)
    assert server.failure is None
    assert [(event.kind, event.detail) for event in server.events()] == [("cut_off", "connections still open: 1")]


def test_samples_come_ten_times_a_second(server: ServerHost) -> None:
    overflows_before = listen_overflows()
    began = now_ns()
    with Peer(server) as peer:
        peer.wait_greeted()
        wait_until(lambda: any(s.in_service == 1 for s in server.samples(began)), "a sample counts the client")
    wait_until(lambda: len(server.samples(began)) >= 5, "half a second of samples")
    samples = server.samples(began)
    assert [s.at_ns for s in samples] == sorted(s.at_ns for s in samples)
    assert began <= samples[0].at_ns
    assert samples[-1].at_ns <= now_ns()
    assert server.samples(samples[2].at_ns)[0] == samples[2]
    overflows_after = listen_overflows()
    assert overflows_before is not None
    assert overflows_after is not None
    for sample in samples:
        assert sample.listen_overflows is not None
        assert overflows_before <= sample.listen_overflows <= overflows_after
        assert sample.threads_alive == 1 + (sample.threads_busy or 0)
        assert sample.accept_queue == 0
        assert sample.rss_bytes < sample.vms_bytes
        assert sample.rss_bytes > 500_000
    assert samples[0].cpu_s <= samples[-1].cpu_s
    assert samples[0].voluntary_switches <= samples[-1].voluntary_switches


def test_pid_is_of_the_serving_process(server: ServerHost) -> None:
    with Peer(server) as peer:
        peer.wait_greeted()
        inodes = set()
        for fd in os.listdir(f"/proc/{server.pid}/fd"):
            with suppress(FileNotFoundError):  # that of the listing
                inodes.add(os.readlink(f"/proc/{server.pid}/fd/{fd}"))
        port = peer.sock.getpeername()[1]
        with open("/proc/net/tcp") as table:
            lines = [line.split() for line in table]
        listening = {f"socket:[{columns[9]}]" for columns in lines if columns[1].endswith(f":{port:04X}")}
        assert listening & inodes
    if server.config.placement == "process":
        assert server.pid != os.getpid()
        server.stop()
        assert server.pid is None


def test_stop_during_drain_from_other_thread(server: ServerHost) -> None:
    with Peer(server) as peer:
        peer.wait_greeted()
        drain = threading.Thread(target=server.drain, args=(0.5,))
        drain.start()
        wait_until(lambda: server.state is State.DRAINING, "it drains")
        server.stop()
        drain.join()
        assert server.state is State.STOPPED
        assert peer.receive_to_end() == b""


def test_work_settings_reach_the_server() -> None:
    """The C program has its own random numbers; a seed promises that they repeat, and the law gives their median."""

    def times(model: str, seed: int) -> list[int]:
        work = {"kind": "sleep", "mean_ms": 4, "distribution": "exponential"}
        with running(model, placement="process", work=work, seed=seed) as server, Peer(server) as peer:
            peer.wait_greeted()
            stamps = [now_ns()]
            for _ in range(60):
                peer.ask(b"^a$")
                stamps.append(now_ns())
        return [later - earlier for earlier, later in pairwise(stamps)]

    first, again, other = times("c_threads", 1), times("c_threads", 1), times("c_threads", 2)
    assert rank_correlation(first, again) > rank_correlation(first, other) + 0.25  # 1 and 0 on a quiet machine
    assert 1_500_000 < sorted(first)[30] < 15_000_000  # the median of the law is 2.8 ms


def rank_correlation(a: list[int], b: list[int]) -> float:
    first, second = (np.argsort(np.argsort(values)) - (len(values) - 1) / 2 for values in (a, b))
    return float(first @ second / (first @ first))


def test_placement_selects_the_host() -> None:
    hosts = [host_for(server_config(model, placement=placement)) for model, placement in PLACES]
    assert [type(host).__name__ for host in hosts] == ["ThreadHost", "ProcessHost", "ProcessHost"]
    assert [host.pid for host in hosts] == [os.getpid(), None, None]
    for host in hosts:
        host.stop()
        assert host.state is State.STOPPED


@pytest.mark.parametrize("model", ["thread_per_client", "c_threads"])
def test_process_gets_cpus_and_descriptors(model: str) -> None:
    cpu = max(os.sched_getaffinity(0))
    with running(model, placement="process", cpus=[cpu]) as server:
        assert server.pid is not None
        for task in os.listdir(f"/proc/{server.pid}/task"):
            assert os.sched_getaffinity(int(task)) == {cpu}
        with open(f"/proc/{server.pid}/limits") as limits:
            [files] = [line.split()[3:5] for line in limits if line.startswith("Max open files")]
        assert files[0] == files[1]
        assert_healthy(server)
