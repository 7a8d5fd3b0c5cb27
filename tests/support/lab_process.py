"""A lab in its own process, started with `serverlab serve` on an unused port."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

COMMAND = [sys.executable, "-c", "from webapp.cli.main import main; main()", "serve"]
END_DEADLINE_S = 30.0  # it ends within a second on a quiet machine


class LabProcess:
    """Runs `serverlab serve` between `start` and `stop`; a second start uses the same port."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Address of its pages, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the lab and return when it listens."""
        command = [*COMMAND, "--port", str(self.port), "--data-dir", str(self._data_dir)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if "http://" not in line:
            self.stop(signal.SIGKILL)
            raise RuntimeError(f"the lab did not start: {line!r}")
        self.port = int(line.strip().rstrip("/").rsplit(":", 1)[-1])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop the lab and wait until its process has ended."""
        if self._process is None:
            return
        with self._process as process:
            process.send_signal(how)
            process.wait(END_DEADLINE_S)
        self._process = None

    def __enter__(self) -> LabProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
