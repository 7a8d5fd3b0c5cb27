"""Child processes of the lab: one class for server processes, client processes and the chart helper.

    one thread:   ManagedChild(argv, selector, …), then `dispatch(selector, …)` until the child closes its output
    any thread:   send, close_stdin, kill, end, wait

A child runs in its own session, so Ctrl-C in a terminal reaches only the lab, which then ends its children. The open
stdin is a lifeline: a child program of the lab exits when it reads end-of-file there, and the kernel closes the pipe
even if the lab is killed. (PR_SET_PDEATHSIG would kill the child when the *thread* that started it ends.)
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from coreserver.errors import CannotStart
from coreserver.process_tree import kill_tree

MAX_KEPT_BYTES = 8192  # of the output; the rest is read and dropped, so a child that prints a gigabyte is not blocked
MAX_LAST_LINES = 20
_READ_BYTES = 65536


@dataclass(frozen=True)
class Ending:
    """How a child ended. As text: "ended with exit code 1", "was killed by SIGSEGV" or "(reason) and was killed".

    Attributes:
        code: the exit code, or the negative number of the signal that killed the child.
        reason: why the lab killed it; empty if the lab did not.
        last_lines: the last lines of its output, at most MAX_LAST_LINES.
    """

    code: int
    reason: str
    last_lines: tuple[str, ...]

    def __str__(self) -> str:
        if self.reason:
            return f"{self.reason} and was killed"
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"was killed by signal {-self.code}"


class OutputRing:
    """The last `max_bytes` of an output. Any thread may call any method."""

    def __init__(self, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept = b""
        self._lock = threading.Lock()  # guards _kept

    def append(self, data: bytes) -> None:
        """Keep `data`, and drop the oldest bytes that no longer fit."""
        with self._lock:
            self._kept = (self._kept + data)[-self._max_bytes :]

    def last_lines(self, max_lines: int) -> tuple[str, ...]:
        """Return the last kept lines, at most `max_lines`."""
        return tuple(self._kept.decode("utf-8", "replace").splitlines()[-max_lines:])


class ManagedChild:
    """A child process from its start until it is reaped, together with its descendants.

    The thread that calls `dispatch` with `selector` reads and writes the pipes. Any thread may call the other methods,
    except `close`, which must be the last call. A child that exits, dies or is killed is reported as an `Ending`, never
    as an exception. No signal is sent to a process id after it was reaped, and no descendant of the same session
    outlives `wait` or `end`.

    Args:
        argv: the program and its arguments; no shell.
        selector: watches the pipes of the child.
        on_output: called with the data that the child writes to stdout, in the thread of `dispatch`; the last part of
            stderr is kept in a ring. None: stdout is kept in the ring as well.
        has_stdin: whether the child gets a pipe as stdin, its lifeline; otherwise stdin is empty.
        cpus: the CPUs it may run on; None: those of this process.

    Raises:
        CannotStart: the program does not exist or the machine has no resources for another process.
    """

    def __init__(
        self,
        argv: Sequence[str],
        selector: selectors.BaseSelector,
        on_output: Callable[[bytes], object] | None,
        *,
        has_stdin: bool = True,
        cpus: Collection[int] | None = None,
    ) -> None:
        self._selector = selector
        self._ring = OutputRing()
        self._on_output = on_output or self._ring.append
        self._unsent = bytearray()
        self._stdin_lock = threading.Lock()  # guards _unsent, and stdin against a write after its close
        self._reap_lock = threading.Lock()  # guards the two below: no signal is sent once the child is reaped
        self._reason = ""
        self._ending: Ending | None = None
        name = Path(argv[0]).name
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE if has_stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if on_output else subprocess.STDOUT,
                bufsize=0,
                start_new_session=True,
                env=environment(),
            )
        except OSError as error:
            raise CannotStart(f"cannot start a process for {name}: {error.strerror}") from error
        self._pidfd = -1
        try:
            self._pidfd = os.pidfd_open(self.pid)
            if cpus is not None:
                os.sched_setaffinity(self.pid, cpus)  # programs of the lab start no thread before their first line
            self._watch_pipes()
        except OSError as error:
            self._process.kill()
            self._process.wait()
            self.close()
            raise CannotStart(f"cannot run {name}: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._process.pid

    @property
    def is_stdout_open(self) -> bool:
        """Whether `dispatch` may still deliver output."""
        return self._process.stdout in self._selector.get_map()

    def send(self, data: bytes) -> None:
        """Write `data` to stdin without blocking; `dispatch` later writes what the pipe does not take now.

        Data for a child that has ended or closed its stdin is dropped.
        """
        with self._stdin_lock:
            self._unsent += data
            self._write()

    def close_stdin(self) -> None:
        """Close stdin, the lifeline: a child program of the lab then exits."""
        with self._stdin_lock:
            self._unsent.clear()
            self._close_pipe(self._process.stdin)

    def kill(self, reason: str) -> None:
        """Send SIGKILL to the process tree without waiting; the first `reason` is kept for `Ending`."""
        with self._reap_lock:
            if self._ending is None:
                self._reason = self._reason or reason
                kill_tree(self.pid)

    def end(self, reason: str = "", *, grace_s: float = 0.0) -> Ending:
        """End the process tree and reap the child. May be called again, and after the child has ended by itself.

        Args:
            reason: why the child is ended, for `Ending`.
            grace_s: time between SIGTERM and SIGKILL; 0: send only SIGKILL.
        """
        if grace_s > 0 and self._ending is None:
            with self._reap_lock:
                if self._ending is None:
                    os.killpg(self.pid, signal.SIGTERM)
            if ending := self.wait(grace_s):
                return ending
        self.kill(reason)
        while not (ending := self.wait(60.0)):
            pass
        return ending

    def wait(self, deadline_s: float) -> Ending | None:
        """Wait until the child exits, then kill its remaining descendants and reap it.

        Returns:
            how it ended, or None if it still runs after `deadline_s` seconds.
        """
        if self._ending is None and not self._wait_exit(deadline_s):
            return None
        with self._reap_lock:
            if self._ending is None:
                kill_tree(self.pid)
                code = self._process.wait()
                self._read_rest()
                self._ending = Ending(code, self._reason, self._ring.last_lines(MAX_LAST_LINES))
            return self._ending

    def close(self) -> None:
        """Close the pipes of a child that has ended. No other method may be running or be called afterwards."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with self._stdin_lock:
                self._close_pipe(pipe)
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _wait_exit(self, deadline_s: float) -> bool:
        exited = select.poll()
        exited.register(self._pidfd, select.POLLIN)
        return bool(exited.poll(max(0.0, deadline_s) * 1000))

    # --- the pipes -----------------------------------------------------------------------------------------------

    def _watch_pipes(self) -> None:
        process = self._process
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
        if process.stdout is not None:
            self._watch_output(process.stdout, self._on_output)
        if process.stderr is not None:
            self._watch_output(process.stderr, self._ring.append)

    def _watch_output(self, pipe: IO[bytes], take: Callable[[bytes], object]) -> None:
        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, selectors.EVENT_READ, lambda: self._read(pipe, take))

    def _read(self, pipe: IO[bytes], take: Callable[[bytes], object]) -> None:
        try:
            data = os.read(pipe.fileno(), _READ_BYTES)
        except BlockingIOError:  # another thread has read it
            return
        if data:
            take(data)
        else:
            self._selector.unregister(pipe)

    def _read_rest(self) -> None:
        """Read the rest of the output that the ring keeps."""
        pipe = self._process.stderr or self._process.stdout
        with suppress(BlockingIOError):
            while pipe and (data := os.read(pipe.fileno(), _READ_BYTES)):
                self._ring.append(data)

    def _flush(self) -> None:
        with self._stdin_lock:
            self._write()

    def _write(self) -> None:
        """Write what the pipe takes, and watch the pipe while there is more to write. The caller holds the lock."""
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            self._unsent.clear()
            return
        try:
            with memoryview(self._unsent) as unsent:
                written = os.write(stdin.fileno(), unsent)
            del self._unsent[:written]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._unsent.clear()
        is_watched = stdin in self._selector.get_map()
        if self._unsent and not is_watched:
            self._selector.register(stdin, selectors.EVENT_WRITE, self._flush)
        elif is_watched and not self._unsent:
            self._selector.unregister(stdin)

    def _close_pipe(self, pipe: IO[bytes] | None) -> None:
        if pipe is not None and not pipe.closed:
            if pipe in self._selector.get_map():
                self._selector.unregister(pipe)
            pipe.close()


def dispatch(selector: selectors.BaseSelector, timeout_s: float) -> None:
    """Wait for the pipes of children at most `timeout_s` seconds, and read and write those that are ready."""
    # After this process was stopped (Ctrl-Z), select can return without the events that are ready, so call it again.
    for key, _ in selector.select(timeout_s) or selector.select(0):
        key.data()


def environment() -> dict[str, str]:
    """Return the environment of a child.

    A Python child imports the same package as this process in any working directory, and numpy starts no threads in it.
    """
    result = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    root = str(Path(__file__).resolve().parents[1])
    if root not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        result["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return result


def interpreter(module: str) -> list[str]:
    """Return the command that runs `module` in a new interpreter; `-P` keeps the working directory off its path."""
    return [sys.executable, "-P", "-m", module]
