"""A lab of its own in its own process, as a person starts it, on a port nobody else uses."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

COMMAND = [sys.executable, "-c", "from webapp.cli.main import main; main()", "serve"]
END_DEADLINE_S = 10.0


class LabProcess:
    """`serverlab serve` between `start` and `stop`; it can be started again, then on the same port."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where its pages are, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return once it answers."""
        command = [*COMMAND, "--port", str(self.port), "--data-dir", str(self._data_dir)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if "http://" not in said:
            self.stop(signal.SIGKILL)
            raise RuntimeError(f"the lab did not start: {said!r}")
        self.port = int(said.strip().rstrip("/").rsplit(":", 1)[-1])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and wait for that."""
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
