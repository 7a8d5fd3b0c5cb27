"""Runs of every kind of load against real servers, and against external servers."""

from __future__ import annotations

import resource
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from coreserver.clients.load import Progress
from coreserver.config.load import LoadConfig
from coreserver.records.client import ClientOutcome
from coreserver.records.messages import table_of
from coreserver.records.run_result import RunResult
from coreserver.reports.timing import parts
from tests.support.loads import run
from tests.support.peers import honest, peer
from tests.support.servers import running


def load(*groups: dict[str, Any], **more: Any) -> LoadConfig:
    return LoadConfig.model_validate({"clients": list(groups), **more})


def outcomes(result: RunResult) -> set[ClientOutcome | None]:
    return {connection.client.outcome for connection in result.connections}


def test_open_arrivals_are_joined_and_add_up(tmp_path: Path) -> None:
    group = {"kind": "open", "rate_per_s": 400.0, "duration_s": 0.5, "messages_per_connection": 2}
    with running("asyncio", backlog=4096) as host:
        result = run(host, load(group, client_processes=2), tmp_path)
    assert (result.outcome, result.foreign, result.records_lost) == ("completed", 0, 0)
    assert outcomes(result) == {ClientOutcome.COMPLETED}
    for connection in result.connections:
        client, served = connection.client, connection.server
        assert served is not None
        assert client.closed_ns is not None
        assert served.messages == len(client.messages) == 2
        spans = parts(connection)
        whole = (spans.lateness, spans.connect, spans.backlog, spans.queue, spans.greeting, spans.session)
        assert sum(span for span in whole if span is not None) == client.closed_ns - client.due_ns
        assert None not in whole


def test_probe_is_served_during_an_attack(tmp_path: Path) -> None:
    attack = [
        {"kind": "idle", "name": "idle", "count": 20, "hold_s": 0.8},
        {"kind": "reset", "name": "reset", "count": 10},
        {"kind": "half_close", "name": "half_close", "count": 10},
        {"kind": "flood", "name": "flood", "rate_per_s": 50.0, "duration_s": 0.5},
        {"kind": "slow_writer", "name": "slow_writer", "count": 5, "duration_s": 0.5, "bytes_per_s": 50.0},
        {"kind": "slow_reader", "name": "slow_reader", "count": 2, "duration_s": 0.5, "bytes_per_s": 1000.0},
    ]
    probe = {"kind": "open", "name": "probe", "rate_per_s": 50.0, "duration_s": 0.5, "start_s": 0.2}
    with running("event_loop", backlog=4096) as host:
        result = run(host, load(*attack, probe), tmp_path)
    assert result.outcome == "completed"
    failed = {(c.client.group, c.client.outcome, c.client.detail) for c in result.connections}
    assert {outcome for _, outcome, _ in failed} == {ClientOutcome.COMPLETED}, failed
    assert {count.name: count.due - count.started for count in result.load.groups} == dict.fromkeys(
        ("idle", "reset", "half_close", "flood", "slow_writer", "slow_reader", "probe"), 0
    )


def test_cancel_ends_a_busy_run_soon(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancelled: list[float] = []
    lines: list[Progress] = []

    def ask(progress: Progress) -> None:
        lines.append(progress)
        if progress.counts["completed"] > 200 and not cancelled:
            cancelled.append(time.monotonic())
            cancel.set()

    crowd = {"kind": "closed", "name": "crowd", "count": 100, "duration_s": 600.0, "think_s": 0.01}
    arrivals = {"kind": "open", "rate_per_s": 400.0, "duration_s": 600.0}
    with running("asyncio", backlog=4096, placement="process") as host:
        result = run(host, load(crowd, arrivals), tmp_path, cancel=cancel, on_progress=ask)
        assert lines[-1].at_ns / 1e9 - cancelled[0] < 10.0
    assert result.outcome == "cancelled"
    assert outcomes(result) <= {ClientOutcome.COMPLETED, ClientOutcome.CANCELLED, ClientOutcome.NOT_STARTED}
    table = table_of([connection.client for connection in result.connections])
    assert table.is_answered.sum() > 100


@pytest.mark.slow
def test_fifteen_thousand_connections_are_open(tmp_path: Path) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 15_500:
        pytest.skip("RLIMIT_NOFILE is too low")
    most: list[int] = []
    crowd = {"kind": "idle", "count": 15_000, "hold_s": 8.0}
    probe = {"kind": "closed", "name": "probe", "count": 2, "duration_s": 5.0, "think_s": 0.05}
    with running("asyncio", backlog=4096, placement="process") as host:
        result = run(
            host, load(crowd, probe), tmp_path, on_progress=lambda progress: most.append(progress.counts["in_service"])
        )
    assert result.outcome == "completed"
    assert outcomes(result) == {ClientOutcome.COMPLETED}
    assert max(most) >= 15_000
    assert result.records_lost == 0


# --- external servers ------------------------------------------------------------------------------------------------


def test_external_server_is_measured(tmp_path: Path) -> None:
    with peer(honest) as address:
        result = run(None, load({"kind": "closed", "count": 2, "duration_s": 0.2}), tmp_path, address=address)
    assert (result.outcome, result.failure) == ("completed", None)
    assert outcomes(result) == {ClientOutcome.COMPLETED}
    assert all(connection.server is None for connection in result.connections)
    assert (result.samples, result.foreign, result.records_lost) == ([], 0, 0)


@pytest.mark.parametrize("first_words", [b"", b"-ERR unknown command\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_foreign_protocol_receives_nothing(first_words: bytes, tmp_path: Path) -> None:
    received: list[bytes] = []

    def listen(sock: socket.socket) -> None:
        if first_words:
            sock.sendall(first_words)
        while data := sock.recv(65536):
            received.append(data)

    groups = [
        {"kind": kind, "name": kind, "timeout_s": 0.3}
        for kind in ("script", "closed", "reset", "half_close", "slow_writer", "slow_reader")
    ]
    with peer(listen) as address:
        result = run(None, load(*groups), tmp_path, address=address)
    expected = ClientOutcome.CORRUPTED if first_words else ClientOutcome.TIMED_OUT
    assert outcomes(result) == {expected}
    assert received == []


def test_refused_address_gets_no_connect(tmp_path: Path) -> None:
    result = run(None, load({"kind": "closed"}), tmp_path, address=("169.254.169.254", 9000))
    assert (result.outcome, result.failure) == ("failed", "cannot_start")
    assert "link-local" in (result.failure_detail or "")
