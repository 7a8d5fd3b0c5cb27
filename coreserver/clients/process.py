"""The parent's side of a client process: spawn it, hear its progress, cancel it, notice its death, take its result.

One thread does all of it, whoever calls `measure`: a selector over the child's three pipes, so a child that floods its
stderr never stalls and no helper thread is left behind.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, cast

import coreserver
from coreserver.clients import wire
from coreserver.clients.limits import connections_of
from coreserver.clients.records import ClientRecord, LoadResult
from coreserver.clients.wire import Progress, ProgressLine
from coreserver.clock import now_ns
from coreserver.config import LoadConfig
from coreserver.errors import CannotStart, WorkerDied

SILENCE_S = 5.0  # a living child sends two lines a second, so it is stopped or stuck
START_S = 20.0  # the same before its first line: interpreter and imports, on a machine that is busy
CANCEL_S = 2.0  # the same once it was cancelled: people wait
TICK_S = 0.05  # how long a set `cancel` may go unseen; a threading.Event cannot wake a selector
EXIT_S = 2.0  # from the end of its stdout to its exit
STDERR_KEPT_BYTES = 4096

# -P: the directory the lab was started in is no place to import from.
WORKER = ("-P", "-m", "coreserver.clients.worker")

__all__ = ["LoadProcess", "LoadProcessDied", "Progress"]


class LoadProcessDied(WorkerDied):
    """The client process ended without its result; `partial` holds the rows it had reported."""

    def __init__(self, message: str, partial: LoadResult) -> None:
        super().__init__(message)
        self.partial = partial


class LoadProcess:
    """One client process, used once and as a context manager: however the block ends, the process is gone after it."""

    def __init__(self, address: tuple[str, int], load: LoadConfig, *, result_path: Path) -> None:
        self._result_path = result_path
        self._clients = connections_of(load)
        spec = wire.Spec(host=address[0], port=address[1], load=load, result_path=str(result_path.absolute()))
        self._to_send = spec.model_dump_json().encode() + b"\n"
        self._line = b""  # of stdout, so far
        self._stderr = b""
        self._last: ProgressLine | None = None
        self._rows: dict[str, ClientRecord] = {}
        self._refusal: str | None = None

    def __enter__(self) -> LoadProcess:
        self._began = self._heard = time.monotonic()
        self._silence_s = START_S
        self._child = _spawn()
        self._stdin = cast(IO[bytes], self._child.stdin)
        self._stdout = cast(IO[bytes], self._child.stdout)
        self._stderr_pipe = cast(IO[bytes], self._child.stderr)
        self._selector = selectors.DefaultSelector()
        os.set_blocking(self._stdin.fileno(), False)
        self._selector.register(self._stdin, selectors.EVENT_WRITE, self._write)
        self._selector.register(self._stdout, selectors.EVENT_READ, self._read_lines)
        self._selector.register(self._stderr_pipe, selectors.EVENT_READ, self._read_stderr)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()  # does nothing once it was waited for
        self._child.wait()
        self._selector.close()
        for pipe in (self._stdin, self._stdout, self._stderr_pipe):
            pipe.close()

    @property
    def pid(self) -> int:
        """The client process."""
        return self._child.pid

    def measure(self, cancel: threading.Event, on_progress: Callable[[Progress], object]) -> LoadResult:
        """Play the load to its end, or until `cancel` is set; blocks.

        `on_progress` is called here, in the caller's thread, for every line.

        Raises:
            CannotStart: the machine lacks what the load needs; there was no traffic.
            LoadProcessDied: the process died, or was killed because it had stopped to answer.
        """
        self._on_progress = on_progress
        cancelled = False
        while self._stdout in self._selector.get_map():
            self._turn()
            if cancel.is_set() and not cancelled:
                cancelled = True
                self._silence_s = CANCEL_S
                self._heard = time.monotonic()
                self._send(wire.CANCEL)
        return self._outcome()

    def _turn(self) -> None:
        events = self._selector.select(TICK_S)
        for key, _ in events:
            key.data(key.fileobj)
        # Lines that waited unread while we were busy are no silence, so it counts only when there was none to read.
        if (
            all(key.fileobj is not self._stdout for key, _ in events)
            and time.monotonic() - self._heard > self._silence_s
        ):
            self._child.kill()
            self._child.wait()
            raise self._died(f"sent no sign of life for {self._silence_s:g} s and was killed")

    def _outcome(self) -> LoadResult:
        try:
            code = self._child.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            raise self._died("closed its output but did not end") from None
        if code == wire.EXIT_CANNOT_START and self._refusal is not None:
            raise CannotStart(self._refusal)
        if code != wire.EXIT_DONE:
            raise self._died(_ended_by(code))
        return wire.read_result(self._result_path)

    def _died(self, how: str) -> LoadProcessDied:
        ended = sum(row.outcome is not None for row in self._rows.values())
        if self._child.poll() is not None:
            self._drain_stderr()
        message = (
            f"client process {self.pid} {how}, {time.monotonic() - self._began:.1f} s after its start; the end of "
            f"{self._clients - ended} of its {self._clients} clients is unknown"
        )
        if said := self._stderr.decode(errors="replace").strip():
            message += f". Its last words: {' | '.join(said.splitlines()[-5:])}"
        return LoadProcessDied(message, self._partial())

    def _partial(self) -> LoadResult:
        """What is known without the result: the rows as last reported."""
        rows = list(self._rows.values())
        if self._last is None:
            return LoadResult(now_ns(), time.time(), now_ns(), 0.0, rows, complete=False)
        progress = self._last.progress
        return LoadResult(
            progress.started_ns, self._last.started_wall_s, progress.at_ns, self._last.cpu_s, rows, complete=False
        )

    # --- the pipes -----------------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        if not self._to_send and not self._stdin.closed:
            self._selector.register(self._stdin, selectors.EVENT_WRITE, self._write)
        self._to_send += data

    def _write(self, pipe: IO[bytes]) -> None:
        try:
            self._to_send = self._to_send[os.write(pipe.fileno(), self._to_send) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it is dead; its stdout ends next
            self._to_send = b""
        if not self._to_send:
            self._selector.unregister(pipe)

    def _read_lines(self, pipe: IO[bytes]) -> None:
        data = os.read(pipe.fileno(), 1 << 20)
        if not data:
            self._selector.unregister(pipe)
            return
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._take(wire.read_line(line))

    def _take(self, line: ProgressLine | str) -> None:
        self._heard = time.monotonic()
        if isinstance(line, str):
            self._refusal = line
            return
        self._silence_s = min(self._silence_s, SILENCE_S)
        self._last = line
        self._rows.update((row.name, row) for row in line.progress.rows)
        self._on_progress(line.progress)

    def _read_stderr(self, pipe: IO[bytes]) -> None:
        data = os.read(pipe.fileno(), 65536)
        self._stderr = (self._stderr + data)[-STDERR_KEPT_BYTES:]
        if not data:
            self._selector.unregister(pipe)

    def _drain_stderr(self) -> None:
        """The child has ended: what it said last may still be in the pipe."""
        while self._stderr_pipe in self._selector.get_map():
            self._read_stderr(self._stderr_pipe)


def _spawn() -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [sys.executable, *WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=_environment(),
            start_new_session=True,  # Ctrl-C in a terminal is for the lab to act upon
        )
    except OSError as error:
        raise CannotStart(f"could not start a client process: {error}") from error


def _environment() -> dict[str, str]:
    """Our environment, and where our packages are when they run from a source tree: the child starts anywhere."""
    environment = dict(os.environ)
    root = str(Path(coreserver.__file__).resolve().parent.parent)
    if root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        paths = [root, environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


def _ended_by(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"
