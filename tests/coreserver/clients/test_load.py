"""Client processes that share one load."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from coreserver.clients import worker_handle
from coreserver.clients.limits import processes_for, reserve_connections
from coreserver.clients.load import TICK_S, LoadProcesses, LoadProcessesDied, Progress
from coreserver.clients.schedule import plan_of, schedule_hash
from coreserver.clients.worker.source_addresses import ClientTarget
from coreserver.config.load import LoadConfig
from coreserver.errors import CannotStart
from coreserver.records.client import ClientOutcome, LoadResult
from coreserver.records.messages import table_of
from tests.support.peers import honest, peer

SOON_S = 30.0  # deadline for events that are immediate on a quiet machine
OPEN = {"kind": "open", "name": "open", "rate_per_s": 200.0, "duration_s": 0.4}
CLOSED = {"kind": "closed", "name": "closed", "count": 5, "duration_s": 0.5, "warm_up_s": 0.1, "think_s": 0.01}
UNBOUND = "0.0.0.0"  # noqa: S104  # the local address of a socket before connect(2), which sets 127.0.0.1
UNLIMITED = {"kind": "closed", "count": 4, "duration_s": 600.0, "think_s": 0.01}


def load(*groups: dict[str, Any], **more: Any) -> LoadConfig:
    return LoadConfig.model_validate({"clients": list(groups), "seed": 3, **more})


def measure(config: LoadConfig, tmp_path: Path, on_progress: Any = lambda _clients, _progress: None) -> LoadResult:
    with (
        peer(honest) as address,
        LoadProcesses(address, config, result_path=tmp_path / "result") as clients,
    ):
        return clients.measure(threading.Event(), lambda progress: on_progress(clients, progress))


def test_processes_share_the_load(tmp_path: Path) -> None:
    lines: list[Progress] = []
    config = load(OPEN, CLOSED, client_processes=3)
    result = measure(config, tmp_path, lambda _, progress: lines.append(progress))
    plans = [plan_of(group, 3) for group in config.clients]
    arrivals = len(plans[0].due_ns)

    assert [record.name for record in result.records] == [f"open-conn{k}" for k in range(1, arrivals + 1)] + [
        f"closed-conn{k}" for k in range(1, 6)
    ]
    assert [record.due_ns - result.started_ns for record in result.records[:arrivals]] == list(plans[0].due_ns)
    assert {record.outcome for record in result.records} == {ClientOutcome.COMPLETED}
    for record in result.records:
        assert record.bytes_sent == 16 * len(record.messages)
        stamps = [message.sent_ns for message in record.messages]
        assert stamps == sorted(stamps)

    table = table_of(result.records)
    assert len(table) == sum(usage.messages for usage in result.workers) == sum(len(r.messages) for r in result.records)
    assert table.is_answered.all()
    assert (table.warm_up == (table.due_ns < result.started_ns + 100_000_000) & (table.connection >= arrivals)).all()

    assert result.schedule_sha256 == schedule_hash(config, plans)
    assert [(count.name, count.scheduled, count.due, count.started) for count in result.groups] == [
        ("open", arrivals, arrivals, arrivals),
        ("closed", 5, 5, 5),
    ]
    assert len({usage.pid for usage in result.workers}) == 3
    assert result.cpu_s == pytest.approx(sum(usage.cpu_s for usage in result.workers))
    assert all(0 <= usage.lag_p50_ms <= usage.lag_p99_ms <= usage.lag_max_ms for usage in result.workers)
    assert lines[-1].counts["completed"] == lines[-1].counts["due"] == len(result.records)
    assert {row.name for line in lines for row in line.rows} == {record.name for record in result.records}
    assert [line.at_ns for line in lines] == sorted(line.at_ns for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_clients_run_on_the_given_cpus(tmp_path: Path) -> None:
    cpu = min(os.sched_getaffinity(0))
    seen: set[frozenset[int]] = set()

    def look(clients: LoadProcesses, _progress: Progress) -> None:
        seen.update(frozenset(os.sched_getaffinity(pid)) for pid in clients.pids if Path(f"/proc/{pid}").exists())

    measure(load(CLOSED, client_cpus=[cpu]), tmp_path, look)
    assert frozenset({cpu}) in seen


@pytest.mark.parametrize(
    ("number", "how"), [(signal.SIGKILL, "was killed by SIGKILL"), (signal.SIGSTOP, "reported nothing")]
)
def test_dead_process_keeps_other_results(
    number: signal.Signals, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_handle, "SILENCE_S", 1.5)
    hit: list[tuple[int, float]] = []
    others: list[int] = []

    def hit_one(clients: LoadProcesses, progress: Progress) -> None:
        if progress.counts["in_service"] == 4 and not hit:
            os.kill(clients.pids[1], number)
            hit.append((clients.pids[1], time.monotonic()))
            others.append(clients.pids[0])

    with pytest.raises(LoadProcessesDied, match=rf"client process \d+ .*{how}") as died:
        measure(load(UNLIMITED, client_processes=2), tmp_path, hit_one)
    assert time.monotonic() - hit[0][1] < SOON_S
    assert "the end of 2 of its 2 clients is unknown" in str(died.value)
    partial = died.value.partial
    assert not partial.complete
    assert [record.name for record in partial.records] == ["conn1", "conn2", "conn3", "conn4"]
    first, second, third, fourth = partial.records
    assert first.outcome is third.outcome is ClientOutcome.CANCELLED
    assert second.outcome is fourth.outcome is None
    assert len(first.messages) > 0
    assert len(second.messages) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in [hit[0][0], *others])
    assert list(tmp_path.iterdir()) == []


def test_stopped_process_is_found_within_5_s() -> None:
    assert worker_handle.SILENCE_S + TICK_S < 4.5  # the others' ends and the result come on top


def test_cancel_reaches_every_process(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancelled: list[float] = []

    def cancel_in_service(progress: Progress) -> None:
        if progress.counts["in_service"] == 4 and not cancelled:
            cancelled.append(time.monotonic())
            cancel.set()

    with (
        peer(honest) as address,
        LoadProcesses(address, load(UNLIMITED, client_processes=2), result_path=tmp_path / "result") as clients,
    ):
        result = clients.measure(cancel, cancel_in_service)
    assert time.monotonic() - cancelled[0] < SOON_S
    assert not result.complete
    assert {record.outcome for record in result.records} == {ClientOutcome.CANCELLED}
    assert all(len(record.messages) for record in result.records)


@pytest.mark.parametrize(
    ("processes", "group", "expected"),
    [
        (None, {"kind": "closed", "count": 1000}, 3),
        (None, {"kind": "closed", "count": 2}, 2),
        (None, {"kind": "open", "rate_per_s": 1.0, "duration_s": 0.1}, 1),
        (7, {"kind": "closed", "count": 2}, 7),
    ],
)
def test_default_leaves_one_core_to_server(
    processes: int | None, group: dict[str, Any], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    assert processes_for(load(group, client_processes=processes)) == expected


def test_repeated_cpu_counts_once() -> None:
    cpu = min(os.sched_getaffinity(0))
    assert processes_for(load({"kind": "closed", "count": 1000}, client_cpus=[cpu] * 100)) == 1


def test_too_few_descriptors_are_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _which: (1000, 20_000))
    monkeypatch.setattr("resource.setrlimit", lambda _which, _limits: None)
    assert reserve_connections(load({"kind": "idle", "count": 15_000}), 1) == 20_000 - 64
    assert reserve_connections(load({"kind": "idle", "count": 39_000}), 2) == 20_000 - 64
    with pytest.raises(CannotStart, match=r"RLIMIT_NOFILE allows 20000; raise it with `sudo prlimit .*--nofile=25064"):
        reserve_connections(load({"kind": "idle", "count": 50_000}), 2)


def test_processes_use_distinct_sources() -> None:
    """Every process counts only its own connections, and a source address has a limited number of ports."""
    used: list[set[str]] = []
    for process in range(2):
        target = ClientTarget("127.0.0.1", 9999, process=process, processes=2)
        used.append(set())
        for number in (0, 9_999, 10_000, 20_000):
            with target.open_socket(number) as sock:
                assert isinstance(sock, socket.socket)
                used[process].add(sock.getsockname()[0])
    assert used[0] == {UNBOUND, "127.0.0.3", "127.0.0.5"}
    assert used[1] == {"127.0.0.2", "127.0.0.4", "127.0.0.6"}


def test_table_of_records_equals_table_of_views(tmp_path: Path) -> None:
    result = measure(load(CLOSED), tmp_path)
    table = table_of(result.records)
    for record in result.records:
        record.messages = list(record.messages)
    again = table_of(result.records)
    for column in ("connection", "due_ns", "sent_ns", "replied_ns", "warm_up"):
        assert (getattr(table, column) == getattr(again, column)).all()
    assert all(a <= b for a, b in pairwise(table.connection.tolist()))
