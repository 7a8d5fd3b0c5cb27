"""Measure a server that freezes for a second under an open and a closed load, to show coordinated omission.

Run `python -m benchmarks.stalled`; `--pictures DIRECTORY` also draws the timeline of each run. In the open load, 250
clients per second arrive for five seconds, independent of the server. In the closed load, four clients wait for each
reply. Two seconds into the run, the server process is stopped (SIGSTOP) for one second. A third run has a backlog of
64, which is too small for the 250 clients that arrive in that second.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.contenders import server_config
from benchmarks.tools import machine
from coreserver.clients.load import Progress
from coreserver.clock import NS_PER_S, now_ns
from coreserver.config.load import LoadConfig
from coreserver.hosting.host import ServerHost, host_for
from coreserver.records.run_result import RunResult
from coreserver.reports.build import RunInfo, ServerInfo, build_report
from coreserver.reports.environment import describe_machine
from coreserver.reports.schema.report import Report
from coreserver.reports.timeline_rows import timeline_rows
from coreserver.runs.execute import execute
from webapp.timeline.drawing import draw

OPEN = {"kind": "open", "rate_per_s": 250, "arrivals": "constant", "duration_s": 5}
CLOSED = {"kind": "closed", "count": 4, "duration_s": 5, "think_s": 0.01}  # about 300 messages per second
FREEZE_AFTER_S = 2.0
FREEZE_S = 1.0


class Freeze:
    """Stops the server process once, for FREEZE_S seconds, FREEZE_AFTER_S seconds into the run."""

    def __init__(self, host: ServerHost) -> None:
        self._host = host
        self._thread: threading.Thread | None = None

    def on_progress(self, progress: Progress) -> None:
        """Schedule the freeze at the first progress report of the run."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._freeze, args=(progress.started_ns,))
            self._thread.start()

    def join(self) -> None:
        """Wait until the server continues."""
        if self._thread is not None:
            self._thread.join()

    def _freeze(self, started_ns: int) -> None:
        pid = self._host.pid
        if pid is None or pid == os.getpid():
            raise SystemExit("only a server in its own process can be frozen")
        wait = threading.Event().wait
        wait(max(0.0, (started_ns - now_ns()) / NS_PER_S + FREEZE_AFTER_S))
        os.kill(pid, signal.SIGSTOP)
        wait(FREEZE_S)
        os.kill(pid, signal.SIGCONT)


def run_frozen(group: dict[str, Any], backlog: int) -> tuple[Report, RunResult]:
    """Execute one run with a freeze and return its report and its result."""
    work = {"kind": "sleep", "mean_ms": 1}
    host = host_for(server_config("thread_per_client", backlog=backlog, work=work, placement="process"))
    load = LoadConfig.model_validate({"clients": [group], "seed": 1})
    freeze = Freeze(host)
    host.start()
    try:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "result"
            result = execute(host, load, result_path=path, cancel=threading.Event(), on_progress=freeze.on_progress)
    finally:
        freeze.join()
        host.stop()
    server = ServerInfo(host.config.model, host.config.model_dump(mode="json"))
    config = {"label": "", "note": "", "server": server.config, **load.model_dump(mode="json")}
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    run = RunInfo(1, "", "", load.seed, config, now, None, None, result.outcome)
    return build_report(run, result, server, describe_machine()), result


CASES: dict[str, tuple[dict[str, Any], int]] = {
    "open, backlog 4096": (OPEN, 4096),
    "closed, backlog 4096": (CLOSED, 4096),
    "open, backlog 64": (OPEN, 64),
}


def main() -> None:
    """Print one row per case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="draw each run's timeline into this directory")
    arguments = parser.parse_args()
    print(f"{machine()}\n")
    print("| load | answered | response p99 ms | round trip p99 ms | connect max ms | listen overflows | reasons |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for name, (group, backlog) in CASES.items():
        report, result = run_frozen(group, backlog)
        latency, reasons = report.latency, report.verdict.reasons
        print(
            f"| {name} | {report.totals.messages.verified} | {_ms(latency.response_ms.p99)} "
            f"| {_ms(latency.round_trip_ms.p99)} | {_ms(report.waits.connect_ms.max)} "
            f"| {report.server.listen_overflows} | {', '.join(reason.code for reason in reasons)} |",
            flush=True,
        )
        if arguments.pictures:
            rows = timeline_rows(result.connections, result.load.started_ns)
            file_name = f"stalled-{name.replace(', ', '-').replace(' ', '-')}.svg"
            (arguments.pictures / file_name).write_text(
                draw(rows, title=f"Frozen for a second: {name}"), encoding="utf-8"
            )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


if __name__ == "__main__":
    main()
