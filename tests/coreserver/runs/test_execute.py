"""Runs with real servers and client processes, and the joined records of both sides."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from pydantic import TypeAdapter

from coreserver.clients.load import LoadProcesses, Progress
from coreserver.config.load import LoadConfig
from coreserver.hosting.host import ThreadHost
from coreserver.models import ServerConfig
from coreserver.models.shared.base import ServerAddress
from coreserver.records.client import ClientOutcome, ClientRecord, LoadResult
from coreserver.records.run_result import RunResult
from coreserver.records.server import ServerOutcome
from tests.support.loads import run
from tests.support.peers import closed_port, script
from tests.support.servers import running

ARTICLE = LoadConfig.model_validate({"clients": [{"kind": "script", "count": 3}]})
BRISK = script(  # the same with a fifth of its pauses
    *({"send": "^abc$de^abte$f"}, {"wait_s": 0.2}, {"send": "xyz^123"}, {"wait_s": 0.2}),
    *({"send": "25$^ab0000$abab"}, {"wait_s": 0.04}, {"expect": "1111"}),
    count=3,
)
BUSY = script({"send": "^ab$"}, {"wait_s": 600.0}, count=3)


def peak_in_service(result: RunResult) -> int:
    changes: list[tuple[int, int]] = []
    for connection in result.connections:
        assert connection.server is not None
        assert connection.server.started_ns is not None
        assert connection.server.finished_ns is not None
        changes += [(connection.server.started_ns, 1), (connection.server.finished_ns, -1)]
    counts = [0]
    for _, change in sorted(changes):
        counts.append(counts[-1] + change)
    return max(counts)


def assert_both_sides_agree(result: RunResult) -> None:
    for connection in result.connections:
        client, record = connection.client, connection.server
        assert client.outcome is ClientOutcome.COMPLETED
        assert record is not None
        assert record.outcome is ServerOutcome.COMPLETED
        assert client.local == record.peer
        assert (client.bytes_sent, client.bytes_received) == (record.bytes_in, record.bytes_out)
        assert len(client.messages) == record.messages == 4
        assert client.connect_start_ns is not None
        assert client.greeted_ns is not None
        assert record.started_ns is not None
        assert client.connect_start_ns <= record.accepted_ns <= record.started_ns <= client.greeted_ns


def test_thread_per_client_greets_all_at_once(tmp_path: Path) -> None:
    with running("thread_per_client") as host:
        result = run(host, ARTICLE, tmp_path)
    assert (result.outcome, result.failure, result.failure_detail) == ("completed", None, None)
    assert (result.foreign, result.records_lost) == (0, 0)
    assert_both_sides_agree(result)
    assert peak_in_service(result) == 3
    greeted = [connection.client.greeted_ns or 0 for connection in result.connections]
    assert max(greeted) < min(connection.client.closed_ns or 0 for connection in result.connections)
    assert (result.load.ended_ns - result.load.started_ns) / 1e9 >= 2.2


def test_pool_of_two_serves_third_client_later(tmp_path: Path) -> None:
    with running("bounded_pool", workers=2) as host:
        result = run(host, BRISK, tmp_path)
    assert result.outcome == "completed"
    assert_both_sides_agree(result)
    assert peak_in_service(result) == 2
    greeted = sorted(connection.client.greeted_ns or 0 for connection in result.connections)
    assert greeted[2] >= min(connection.client.closed_ns or 0 for connection in result.connections)


def test_samples_cover_the_run(tmp_path: Path) -> None:
    with running("thread_per_client") as host:
        result = run(host, script({"send": "^a$"}, {"wait_s": 0.5}), tmp_path)
    at = [sample.at_ns for sample in result.samples]
    assert at == sorted(at)
    assert at[0] - result.load.started_ns < 400_000_000
    assert any(sample.in_service == 1 for sample in result.samples)


def test_progress_is_reported_in_callers_thread(tmp_path: Path) -> None:
    threads: set[threading.Thread] = set()
    with running("thread_per_client") as host:
        run(host, script({"send": "^a$"}), tmp_path, on_progress=lambda _: threads.add(threading.current_thread()))
    assert threads == {threading.current_thread()}


def test_other_connections_count_as_foreign(tmp_path: Path) -> None:
    visited: list[bytes] = []

    def visit(progress: Progress) -> None:
        if progress.counts["in_service"] and not visited:
            assert host.address is not None
            with socket.create_connection(host.address, timeout=5) as stranger:
                visited.append(stranger.recv(1))

    with running("thread_per_client") as host:
        result = run(host, script({"send": "^a$"}, {"wait_s": 0.3}), tmp_path, on_progress=visit)
    assert visited == [b"*"]
    assert (result.foreign, len(result.connections)) == (1, 1)


def test_cancelled_run_keeps_both_sides(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancelled: list[float] = []

    def cancel_in_service(progress: Progress) -> None:
        if progress.counts["in_service"] == 3:
            cancelled.append(time.monotonic())
            cancel.set()

    with running("thread_per_client") as host:
        result = run(host, BUSY, tmp_path, cancel=cancel, on_progress=cancel_in_service)
        assert time.monotonic() - cancelled[0] < 20
    assert (result.outcome, result.failure) == ("cancelled", None)
    assert {connection.client.outcome for connection in result.connections} == {ClientOutcome.CANCELLED}
    assert all(connection.server and connection.server.messages == 1 for connection in result.connections)


def test_dead_client_process_fails_the_run(tmp_path: Path) -> None:
    before = set(psutil.Process().children())

    def kill_in_service(progress: Progress) -> None:
        if progress.counts["in_service"] == 3:
            (child,) = set(psutil.Process().children()) - before
            os.kill(child.pid, signal.SIGKILL)

    with running("thread_per_client") as host:
        result = run(host, BUSY, tmp_path, on_progress=kill_in_service)
    assert (result.outcome, result.failure) == ("failed", "worker_died")
    assert "SIGKILL" in (result.failure_detail or "")
    assert not result.load.complete
    assert all(connection.server and connection.server.finished_ns for connection in result.connections)
    assert len(result.connections) == 3


class Elsewhere(ThreadHost):
    """A host that reports an address where nothing listens."""

    @property
    def address(self) -> ServerAddress:
        return ServerAddress(*closed_port())


def test_refusing_target_fails_the_run(tmp_path: Path) -> None:
    host = Elsewhere(TypeAdapter(ServerConfig).validate_python({"model": "sequential"}))
    host.start()
    result = run(host, ARTICLE, tmp_path)
    host.stop()
    assert (result.outcome, result.failure) == ("failed", "could_not_connect")
    assert result.failure_detail == "every connection was refused, the first with ECONNREFUSED"
    assert {connection.client.outcome for connection in result.connections} == {ClientOutcome.REFUSED}


def test_self_connects_mean_no_listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ClientRecord("conn1", "script", 1, 1, outcome=ClientOutcome.REFUSED, detail="ECONNREFUSED")
    itself = ClientRecord("conn2", "script", 1, 1, 1, outcome=ClientOutcome.SELF_CONNECT)
    records = [refused, itself]
    monkeypatch.setattr(LoadProcesses, "measure", lambda *_: LoadResult(1, 0.0, 2, 0.0, records))
    with running("sequential") as host:
        result = run(host, ARTICLE, tmp_path)
        assert (result.outcome, result.failure) == ("failed", "could_not_connect")
        expected = "nothing listens: 1 of 2 connections were refused, the others connected to themselves"
        assert result.failure_detail == expected
        records.append(ClientRecord("conn3", "script", 1, 1, 1, outcome=ClientOutcome.TIMED_OUT))
        assert run(host, ARTICLE, tmp_path).outcome == "completed"


def test_unstarted_server_fails_the_run(tmp_path: Path) -> None:
    host = ThreadHost(TypeAdapter(ServerConfig).validate_python({"model": "sequential"}))
    result = run(host, ARTICLE, tmp_path)
    assert (result.outcome, result.failure) == ("failed", "could_not_connect")


def test_stopped_server_fails_the_run(tmp_path: Path) -> None:
    def stop_in_service(progress: Progress) -> None:
        if progress.counts["in_service"] == 3:
            host.stop()

    with running("thread_per_client") as host:
        result = run(host, BUSY, tmp_path, on_progress=stop_in_service)
    assert (result.outcome, result.failure) == ("failed", "server_stopped")
    assert {connection.client.outcome for connection in result.connections} == {ClientOutcome.RESET}


def test_missing_descriptors_fail_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = (
        "import resource, runpy\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))\n"
        "runpy.run_module('coreserver.clients.worker', run_name='__main__')"
    )
    monkeypatch.setattr("coreserver.clients.worker_handle.COMMAND", (sys.executable, "-P", "-c", limited))
    with running("thread_per_client") as host:
        result = run(host, ARTICLE, tmp_path)
        assert host.snapshot().totals.accepted == 0
    assert (result.outcome, result.failure) == ("failed", "cannot_start")
    assert "RLIMIT_NOFILE" in (result.failure_detail or "")
