"""A child program that serves: its pipes, its telemetry as it comes, and its end, however that comes about.

    reader (a thread a child):  stdout → frames, stderr → the last words, until stdout ends; then the child is reaped

The child's stdin is its lifeline: every child of ours ends when it reads end-of-file there, which the kernel sees to
even if this process is killed. (PR_SET_PDEATHSIG would kill the child when the *thread* that started it ends.)
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from coreserver.errors import CannotStart
from coreserver.telemetry.frames import Decoder, Frame, WireError

TICK_S = 0.25
# No frame for so long, and the kernel says "stopped"; a freeze of one second, as in our experiment, passes.
PAUSED_S = 1.6
SILENT_S = 10.0  # no frame for so long from a child that samples itself ten times a second
EXIT_S = 1.0  # from the end of stdout to the end of the process
LAST_WORDS = 20
_STDERR_KEPT_BYTES = 8192


class ChildProcess:
    """A running child. Any thread may call any method.

    Args:
        argv: the program and its arguments; no shell.
        cpus: where it may run; None for wherever this process may.
        on_frame: called by the reader for every frame; WireError from it means the child talks nonsense.
        on_end: called by the reader, once, after the child was reaped: how it ended, in words.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cpus: Collection[int] | None,
        on_frame: Callable[[Frame], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._on_frame = on_frame
        self._on_end = on_end
        self._stderr_tail = b""
        self._killed_because = ""
        self._stdin_lock = threading.Lock()  # guards stdin against a close by the reader
        try:
            # A session of its own, so that Ctrl-C in a terminal reaches the lab alone, which then ends its children.
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                env=environment(),
            )
        except OSError as error:
            raise CannotStart(f"the machine refuses a process for {Path(argv[0]).name}: {error.strerror}") from error
        self._stdin = cast(IO[bytes], self._process.stdin)
        self._stdout = cast(IO[bytes], self._process.stdout)
        self._stderr = cast(IO[bytes], self._process.stderr)
        self._reader = threading.Thread(target=self._read, name=f"child-{self.pid}", daemon=True)
        try:
            if cpus is not None:
                os.sched_setaffinity(self.pid, cpus)  # it waits for its first line before it starts a thread
            self._reader.start()
        except (OSError, RuntimeError) as error:
            self._process.kill()
            self._reap()
            raise CannotStart(f"cannot run {Path(argv[0]).name}: {error}") from error

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def send(self, line: str) -> None:
        """Give the child a line; one that is gone, or going, does not take it."""
        with self._stdin_lock, suppress(BrokenPipeError, ValueError):  # ValueError: closed
            self._stdin.write(line.encode() + b"\n")

    def kill(self, because: str) -> None:
        """SIGKILL, which also ends a stopped process; `because` says why, as in "was silent"."""
        self._killed_because = self._killed_because or because
        self._process.kill()

    def join(self, deadline_s: float) -> bool:
        """Wait until the child is reaped and `on_end` has returned, at most `deadline_s` seconds."""
        self._reader.join(deadline_s)
        return not self._reader.is_alive()

    # --- the reader ----------------------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            trouble = self._follow()
        except WireError as error:
            trouble = f"sent what is no telemetry ({error})"
        if trouble:
            self.kill(trouble)
        code = self._reap()
        self._on_end(self._described_end(code))

    def _follow(self) -> str:
        """Take in frames until stdout ends; why the child must be killed, or nothing."""
        decoder = Decoder()
        heard = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            selector.register(self._stderr, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select(TICK_S)}
                if self._stderr in ready and not self._take_stderr():
                    selector.unregister(self._stderr)
                if self._stdout in ready:
                    data = os.read(self._stdout.fileno(), 65536)
                    if not data:
                        return ""
                    for frame in decoder.feed(data):
                        self._on_frame(frame)
                    heard = time.monotonic()
                elif trouble := self._trouble_of_silence(time.monotonic() - heard):
                    return trouble

    def _trouble_of_silence(self, silent_s: float) -> str:
        if silent_s > SILENT_S:
            return f"said nothing for {SILENT_S:g} s"
        if silent_s > PAUSED_S and _is_stopped(self.pid):
            return "was paused (SIGSTOP)"
        return ""

    def _take_stderr(self) -> bool:
        data = os.read(self._stderr.fileno(), 65536)
        self._stderr_tail = (self._stderr_tail + data)[-_STDERR_KEPT_BYTES:]
        return bool(data)

    def _reap(self) -> int:
        try:
            code = self._process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        os.set_blocking(self._stderr.fileno(), False)
        with suppress(BlockingIOError):
            while self._take_stderr():
                pass
        with self._stdin_lock:
            self._stdin.close()
        self._stdout.close()
        self._stderr.close()
        return code

    def _described_end(self, code: int) -> str:
        killed = self._killed_because
        how = f"{killed} and was killed" if killed else f"ended with {_described_code(code)}"
        said = self._stderr_tail.decode("utf-8", "replace").splitlines()[-LAST_WORDS:]
        return f"the server process {self.pid} {how}" + (f"; its last words: {' | '.join(said)}" if said else "")


def _described_code(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"code {code} ({signal.Signals(-code).name})"


def _is_stopped(pid: int) -> bool:
    """Whether the kernel holds the process since a SIGSTOP."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "T"


def environment() -> dict[str, str]:
    """Ours, so that a Python child imports the very package that runs here, and numpy starts no threads in it."""
    package_root = str(Path(__file__).parents[1])
    path = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "OPENBLAS_NUM_THREADS": "1"}


def interpreter(module: str) -> list[str]:
    """The command that runs a module of ours in an interpreter of its own; `-P` keeps the working folder out of it."""
    return [sys.executable, "-P", "-m", module]
