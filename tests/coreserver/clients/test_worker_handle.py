"""Client processes: their results, cancel, and every way to end."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from coreserver.clients import worker_handle, worker_protocol
from coreserver.clients.load import LoadProcesses, LoadProcessesDied, Progress
from coreserver.clock import now_ns
from coreserver.config.load import LoadConfig
from coreserver.errors import CannotStart
from coreserver.records.client import ClientOutcome, LoadResult
from tests.support.peers import Address, honest, peer, script

SOON_S = 30.0  # deadline for events that are immediate on a quiet machine
QUICK = script({"send": "^ab$"}, {"expect": "bc"})
UNLIMITED = script({"send": "^ab$"}, {"wait_s": 600.0}, count=3)


def measure(
    address: Address,
    load: LoadConfig,
    tmp_path: Path,
    *,
    cancel: threading.Event | None = None,
    on_progress: object = None,
) -> LoadResult:
    with LoadProcesses(address, load, result_path=tmp_path / "result.json") as clients:
        heard = (lambda progress: on_progress(clients, progress)) if callable(on_progress) else (lambda _: None)
        return clients.measure(cancel or threading.Event(), heard)


def is_in_service(progress: Progress, clients: int) -> bool:
    return progress.counts["in_service"] == clients


def test_result_has_every_record(tmp_path: Path) -> None:
    with peer(honest) as address:
        result = measure(address, script({"send": "^ab$"}, {"expect": "bc"}, count=20), tmp_path)
    assert result.complete
    assert [record.name for record in result.records] == [f"conn{number}" for number in range(1, 21)]
    for record in result.records:
        assert record.outcome is ClientOutcome.COMPLETED
        assert [event.data for event in record.log] == [b"", b"^ab$", b"bc", b""]
        assert len(record.messages) == 1
        assert record.due_ns == result.started_ns
        assert record.connect_start_ns is not None
        assert result.started_ns <= record.connect_start_ns < result.ended_ns
    assert abs(result.started_wall_s - time.time()) < 60
    assert 0 < result.cpu_s < 10
    assert list(tmp_path.iterdir()) == []


def test_progress_adds_up_to_result(tmp_path: Path) -> None:
    lines: list[Progress] = []
    with peer(honest) as address:
        load = script({"send": "^ab$"}, {"wait_s": 0.3}, count=300)
        result = measure(address, load, tmp_path, on_progress=lambda _, progress: lines.append(progress))
    phases = {"due", "connecting", "waiting", "in_service", "completed", "failed"}
    assert lines[0].counts.keys() == phases | {"messages"}
    assert lines[-1].counts == dict.fromkeys(phases, 0) | {"due": 300, "completed": 300, "messages": 300}
    assert {line.started_ns for line in lines} == {result.started_ns}
    assert all(len(line.rows) <= 1000 for line in lines)
    seen = [row for line in lines for row in line.rows]
    assert {row.name for row in seen} == {record.name for record in result.records}
    assert all(row.log == [] and len(row.messages) == 0 for row in seen)


def test_process_starts_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with files named like modules makes no difference."""
    (tmp_path / "coreserver").mkdir()
    (tmp_path / "coreserver" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    with peer(honest) as address:
        assert measure(address, QUICK, Path()).complete


def test_cancel_keeps_recorded_results(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancelled_at: list[float] = []

    def cancel_in_service(_clients: LoadProcesses, progress: Progress) -> None:
        if is_in_service(progress, 3) and not cancelled_at:
            cancelled_at.append(time.monotonic())
            cancel.set()

    with peer(honest) as address:
        result = measure(address, UNLIMITED, tmp_path, cancel=cancel, on_progress=cancel_in_service)
        assert time.monotonic() - cancelled_at[0] < SOON_S
    assert not result.complete
    assert {record.outcome for record in result.records} == {ClientOutcome.CANCELLED}
    assert all(record.messages[0].replied_ns for record in result.records)


def test_early_cancel_sends_nothing(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with peer(honest) as address:
        result = measure(address, script({"send": "^a$"}, start_s=600.0), tmp_path, cancel=cancel)
    assert [record.outcome for record in result.records] == [ClientOutcome.NOT_STARTED]


def test_killed_process_leaves_reported_rows(tmp_path: Path) -> None:
    killed: list[int] = []

    def kill_in_service(clients: LoadProcesses, progress: Progress) -> None:
        if is_in_service(progress, 3) and not killed:
            killed.append(clients.pids[0])
            os.kill(killed[0], signal.SIGKILL)

    with peer(honest) as address, pytest.raises(LoadProcessesDied, match="was killed by SIGKILL") as died:
        measure(address, UNLIMITED, tmp_path, on_progress=kill_in_service)
    assert "the end of 3 of its 3 clients is unknown" in str(died.value)
    partial = died.value.partial
    assert not partial.complete
    assert [record.name for record in partial.records] == ["conn1", "conn2", "conn3"]
    assert all(record.greeted_ns and record.greeted_ns > partial.started_ns for record in partial.records)


def test_stopped_process_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_handle, "SILENCE_S", 1.5)
    stopped: list[tuple[int, float]] = []

    def stop_in_service(clients: LoadProcesses, progress: Progress) -> None:
        if is_in_service(progress, 3) and not stopped:
            os.kill(clients.pids[0], signal.SIGSTOP)
            stopped.append((clients.pids[0], time.monotonic()))

    with peer(honest) as address, pytest.raises(LoadProcessesDied, match=r"reported nothing for 1\.5 s and was killed"):
        measure(address, UNLIMITED, tmp_path, on_progress=stop_in_service)
    pid, at = stopped[0]
    assert time.monotonic() - at < SOON_S
    assert not Path(f"/proc/{pid}").exists()


def test_paused_lab_kills_no_client_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(selectors.DefaultSelector):
        """Once, while clients are in service, wait longer than requested and see nothing, as after a stop signal."""

        is_due = False

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if self.is_due:
                self.is_due = False
                time.sleep(1.6)
                return []
            return super().select(timeout)

    made: list[Stopped] = []

    def make() -> Stopped:
        made.append(Stopped())
        return made[-1]

    def stop_once(_: LoadProcesses, progress: Progress) -> None:
        if is_in_service(progress, 3) and not stopped:
            stopped.append(True)
            made[0].is_due = True

    stopped: list[bool] = []
    monkeypatch.setattr("coreserver.clients.load.selectors", SimpleNamespace(DefaultSelector=make))
    monkeypatch.setattr(worker_handle, "SILENCE_S", 1.5)
    load = script({"send": "^ab$"}, {"wait_s": 2.2}, count=3)
    with peer(honest) as address:
        assert measure(address, load, tmp_path, on_progress=stop_once).complete
    assert stopped


def test_crash_is_reported_with_last_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_handle, "COMMAND", (sys.executable, "-P", "-c", "raise RuntimeError('a bug')"))
    with pytest.raises(LoadProcessesDied, match=r"ended with exit code 1, .*RuntimeError: a bug") as died:
        measure(("127.0.0.1", 9), QUICK, tmp_path)
    assert died.value.partial.records == []


def test_stray_output_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = (
        "import sys\n"
        "from coreserver.clients.worker import __main__ as worker\n"
        "made = worker.groups_of\n"
        "worker.groups_of = lambda *args: (print('stray'), sys.stderr.write('x' * 1_000_000), made(*args))[2]\n"
        "sys.exit(worker.main())"
    )
    monkeypatch.setattr(worker_handle, "COMMAND", (sys.executable, "-P", "-c", noisy))
    with peer(honest) as address:
        assert measure(address, QUICK, tmp_path).complete


def test_slow_parent_does_not_delay_clients(tmp_path: Path) -> None:
    def dawdle(_clients: LoadProcesses, _progress: Progress) -> None:
        threading.Event().wait(0.3)

    with peer(honest) as address:
        load = script({"send": "^a$"}, {"wait_s": 0.4}, {"send": "^a$"}, count=1000)
        result = measure(address, load, tmp_path, on_progress=dawdle)
    lateness = [record.messages[1].sent_ns - record.messages[1].due_ns for record in result.records]
    assert sorted(lateness)[len(lateness) // 2] < 200_000_000


def test_too_few_descriptors_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = (
        "import resource, runpy\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n"
        "runpy.run_module('coreserver.clients.worker', run_name='__main__')"
    )
    monkeypatch.setattr(worker_handle, "COMMAND", (sys.executable, "-P", "-c", limited))
    connects: list[object] = []
    with (
        peer(connects.append) as address,
        pytest.raises(CannotStart, match=r"RLIMIT_NOFILE allows 100; raise it with `sudo prlimit .*--nofile=264`"),
    ):
        measure(address, script({"send": "^a$"}, count=200), tmp_path)
    assert connects == []


def test_soft_descriptor_limit_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = (
        "import resource, runpy\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (50, 1000))\n"
        "runpy.run_module('coreserver.clients.worker', run_name='__main__')"
    )
    monkeypatch.setattr(worker_handle, "COMMAND", (sys.executable, "-P", "-c", limited))
    with peer(honest) as address:
        result = measure(address, script({"send": "^a$"}, {"wait_s": 0.1}, count=100), tmp_path)
    assert {record.outcome for record in result.records} == {ClientOutcome.COMPLETED}


def test_process_exits_when_stdin_ends(tmp_path: Path) -> None:
    """A killed lab cannot send a cancel, so its children end by themselves."""
    greeted = threading.Event()
    gone = threading.Event()

    def talk(sock: socket.socket) -> None:
        greeted.set()
        try:
            honest(sock)
        finally:
            gone.set()

    with peer(talk) as (host, port):
        path = str(tmp_path / "result.json")
        spec = worker_protocol.Spec(host=host, port=port, load=UNLIMITED, process=0, processes=1, result_path=path)
        command = [sys.executable, "-P", "-m", "coreserver.clients.worker"]
        environment = os.environ | {"PYTHONPATH": str(Path(worker_handle.__file__).parents[2])}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        ) as child:
            assert child.stdin is not None
            child.stdin.write(
                spec.model_dump_json().encode() + b"\n" + worker_protocol.write_start(worker_protocol.Start(now_ns()))
            )
            child.stdin.flush()
            assert greeted.wait(SOON_S)
            child.stdin.close()
            assert child.wait(SOON_S) == worker_protocol.EXIT_ORPHANED
        assert gone.wait(SOON_S)
    assert list(tmp_path.iterdir()) == []
