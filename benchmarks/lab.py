"""A lab in its own process, started with `serverlab serve`, for the benchmarks of its pages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

import httpx

COMMAND = [sys.executable, "-c", "from webapp.cli.main import main; main()", "serve", "--port", "0", "--data-dir"]
READ_BYTES = 1 << 18
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class LabProcess:
    """Context manager that runs `serverlab serve` and stops it at the end of the block."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def __enter__(self) -> LabProcess:
        self._process = subprocess.Popen([*COMMAND, str(self._data_dir)], stdout=subprocess.PIPE, text=True)
        said = cast(IO[str], self._process.stdout).readline()
        if "http://" not in said:
            self._process.kill()
            raise SystemExit(f"the lab did not start: {said!r}")
        self.url = said.split()[-1].rstrip("/")
        self.http = httpx.Client(base_url=self.url, timeout=120, trust_env=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()
        with self._process as process:
            process.send_signal(signal.SIGTERM)

    def cpu_s(self) -> float:
        """Return the CPU seconds of the control plane so far, in steps of 10 ms, including servers in its threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def ask(self, path: str, body: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
        """Post `body` to the API and return the response."""
        answer: dict[str, Any] = self.http.post(f"/api/v1{path}", json=body, params=params).raise_for_status().json()
        return answer

    def run(self, server: dict[str, Any], *clients: dict[str, Any], label: str = "") -> dict[str, Any]:
        """Execute a run and return it when it is completed."""
        body = {"label": label, "server": server, "clients": clients}
        run = self.ask("/runs", body, wait_s=110)
        if run["state"] != "completed":
            raise SystemExit(f"run {label!r} is {run['state']} instead of completed: {run['reason']}")
        return run
