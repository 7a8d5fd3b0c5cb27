"""Verdicts of real runs with faults that the tests cause."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from coreserver.clients.load import Progress
from coreserver.config.load import LoadConfig
from coreserver.reports.build import RunInfo, ServerInfo, build_report
from coreserver.telemetry.recorder import Subscription
from tests.support.loads import run
from tests.support.made_records import ENVIRONMENT, MOMENT
from tests.support.servers import running

EXTERNAL_CAUSES = {"machine_busy"}  # other work of this machine while the tests run
RUNS = 4
NOTES = {"shared_interpreter", "too_few_samples"}

POOL = {
    "model": "bounded_pool",
    "workers": 3,  # busy a third of the time, so that a loaded machine does not overload them
    "work": {"kind": "sleep", "mean_ms": 5.0, "distribution": "exponential", "per": "connection"},
}
CLOSED = {"kind": "closed", "count": 4, "duration_s": 1.3, "think_s": 0.01}


def report(
    tmp_path: Path,
    server: dict[str, Any],
    group: dict[str, Any],
    on_progress: Callable[[Progress], object] = lambda _: None,
) -> dict[str, Any]:
    """Run one group against its own server and return the report."""
    load = LoadConfig.model_validate({"clients": [group], "client_processes": 1, "seed": 3})
    with running(**server) as host:
        result = run(host, load, tmp_path, on_progress=on_progress)
    served_by = ServerInfo(model=host.config.model, config=host.config.model_dump(mode="json"))
    config = {"label": "", "note": "", "server": served_by.config, **load.model_dump(mode="json")}
    info = RunInfo(1, "", "", 3, config, MOMENT, None, None, result.outcome)
    return build_report(info, result, served_by, ENVIRONMENT).model_dump(mode="json")


def codes(of: dict[str, Any]) -> dict[str, str]:
    return {reason["code"]: reason["severity"] for reason in of["verdict"]["reasons"]}


def test_healthy_run_is_valid(tmp_path: Path) -> None:
    for _ in range(RUNS):  # on a busy machine a client may have waited for its CPU
        found = report(tmp_path, {"model": "thread_per_client"}, CLOSED)
        assert found["totals"]["messages"]["verified"] >= 100
        if not (strange := set(codes(found)) - NOTES - EXTERNAL_CAUSES):
            break
    assert not strange


class Starver(threading.Thread):
    """Let the child processes run for 20 ms of every 60 ms."""

    def __init__(self) -> None:
        super().__init__(name="starver")
        self.over = threading.Event()

    def run(self) -> None:
        clients = psutil.Process().children()
        while not self.over.wait(0.02):
            self._signal(clients, signal.SIGSTOP)
            self.over.wait(0.04)
            self._signal(clients, signal.SIGCONT)

    def _signal(self, clients: list[psutil.Process], number: signal.Signals) -> None:
        for client in clients:
            with contextlib.suppress(psutil.NoSuchProcess):
                client.send_signal(number)


def test_starved_generator_is_invalid(tmp_path: Path) -> None:
    starver = Starver()

    def begin(_: Progress) -> None:
        if starver.ident is None:
            starver.start()

    try:
        found = report(tmp_path, {"model": "thread_per_client"}, CLOSED, begin)
    finally:
        starver.over.set()
        starver.join()
    assert found["verdict"]["status"] == "invalid"
    assert codes(found)["client_saturated"] == "invalid"


def test_small_backlog_is_suspect(tmp_path: Path) -> None:
    hold = {"kind": "script", "count": 5, "timeout_s": 5, "script": [{"send": "^a$"}, {"wait_s": 0.2}]}
    found = report(tmp_path, {"model": "sequential", "backlog": 1}, hold)
    assert codes(found)["listen_overflow"] == "suspect"
    # The kernel may also drop the last packet of a handshake: that client is connected and never greeted.
    assert found["totals"]["connections"]["completed"] >= 4
    assert found["waits"]["connect_ms"]["max"] > 900  # a lost SYN is sent again after a second


def test_capped_backlog_is_noted(tmp_path: Path) -> None:
    found = report(tmp_path, {"model": "sequential", "backlog": 65535}, {"kind": "script", "script": [{"send": "^a$"}]})
    assert codes(found)["backlog_capped"] == "note"


def test_pool_is_compared_with_theory(tmp_path: Path) -> None:
    group = {"kind": "open", "rate_per_s": 200.0, "duration_s": 1.5, "warm_up_s": 0.1}
    for _ in range(RUNS):  # a busy machine hands over late, which theory does not include
        found = report(tmp_path, POOL, group)["theory"]
        if abs(found["wait_ms"] - found["recursion_wait_ms"]) < 5 and found["erlang_c_wait_ms"] is not None:
            break
    assert found["servers"] == 3
    assert 200 <= found["arrivals"] <= 360
    assert abs(found["wait_ms"] - found["recursion_wait_ms"]) < 5
    assert found["erlang_c_wait_ms"] > 0


def test_overloaded_server_drifts(tmp_path: Path) -> None:
    slow = {"kind": "sleep", "mean_ms": 5.0, "per": "connection"}  # 200 a second, one at a time
    group = {"kind": "open", "rate_per_s": 400.0, "arrivals": "constant", "duration_s": 1.0}
    found = report(tmp_path, {"model": "sequential", "backlog": 4096, "work": slow}, group)
    assert codes(found)["drift"] == "suspect"


def test_lost_records_are_invalid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coreserver.telemetry.recorder.Subscription", lambda: Subscription(limit=1))
    found = report(tmp_path, {"model": "event_loop"}, {"kind": "script", "count": 100, "script": [{"send": "^a$"}]})
    assert codes(found)["records_lost"] == "invalid"


def test_busy_machine_is_suspect(tmp_path: Path) -> None:
    spin = ["nice", "-n", "19", sys.executable, "-c", "while True: pass"]  # uses the CPU time that other tests leave
    with subprocess.Popen(spin) as stranger:
        try:
            found = report(tmp_path, {"model": "thread_per_client"}, CLOSED)
        finally:
            stranger.kill()
    assert codes(found)["machine_busy"] == "suspect"
