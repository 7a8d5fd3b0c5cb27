"""A server process as its parent sees it: its telemetry frames as they arrive, and its end.

reader (one thread per child):  stdout → frames, stderr → last lines, until stdout ends; then the child is reaped
"""

from __future__ import annotations

import selectors
import threading
import time
from collections.abc import Callable, Collection, Sequence

from coreserver.child_process import ManagedChild, dispatch
from coreserver.errors import CannotStart
from coreserver.process_tree import read_stat
from coreserver.telemetry.frames import Decoder, Frame, WireError

TICK_S = 0.25
# A child that the kernel reports as stopped is killed after this long without a frame. The freeze of one second in the
# experiment of docs/stalled-server.md is shorter.
MAX_PAUSE_S = 1.6
MAX_SILENCE_S = 10.0  # a child sends a sample ten times per second
EXIT_S = 1.0  # from the end of stdout to the end of the process


class ServerChild:
    """A running server process. Any thread may call any method.

    Args:
        argv: the program and its arguments.
        cpus: the CPUs it may run on; None: those of this process.
        on_frame: called in the reader thread for every frame; if it raises WireError, the child is killed.
        on_end: called once in the reader thread, after the child was reaped, with a sentence about how it ended.

    Raises:
        CannotStart: the process or its reader thread cannot be started.
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
        self._decoder = Decoder()
        self._heard_s = time.monotonic()
        self._selector = selectors.DefaultSelector()
        try:
            self._child = ManagedChild(argv, self._selector, self._take, cpus=cpus)
        except CannotStart:
            self._selector.close()
            raise
        self._reader = threading.Thread(target=self._run, name=f"child-{self.pid}", daemon=True)
        try:
            self._reader.start()
        except RuntimeError as error:
            self._child.end()
            self._close()
            raise CannotStart(f"cannot read the telemetry of {argv[0]}: {error}") from error

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._child.pid

    def send(self, line: str) -> None:
        """Write a line to the stdin of the child; it is dropped if the child has ended."""
        self._child.send(line.encode() + b"\n")

    def kill(self, reason: str) -> None:
        """Send SIGKILL, which also ends a stopped process; `reason` completes "the server process …"."""
        self._child.kill(reason)

    def join(self, deadline_s: float) -> bool:
        """Wait until the child is reaped and `on_end` has returned, at most `deadline_s` seconds."""
        self._reader.join(deadline_s)
        return not self._reader.is_alive()

    # --- the reader ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            fault = self._follow()
        except WireError as error:
            fault = f"sent invalid telemetry ({error})"
        if fault:
            self._child.kill(fault)
        ending = self._child.wait(EXIT_S) or self._child.end("closed its output but did not exit")
        self._close()
        output = f"; its last output: {' | '.join(ending.last_lines)}" if ending.last_lines else ""
        self._on_end(f"the server process {self.pid} {ending}{output}")

    def _follow(self) -> str:
        """Read frames until stdout ends; return why the child must be killed, or an empty text."""
        while self._child.is_stdout_open:
            dispatch(self._selector, TICK_S)
            if fault := self._fault_of_silence(time.monotonic() - self._heard_s):
                return fault
        return ""

    def _take(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            self._on_frame(frame)
        self._heard_s = time.monotonic()

    def _fault_of_silence(self, silent_s: float) -> str:
        if silent_s > MAX_SILENCE_S:
            return f"sent nothing for {MAX_SILENCE_S:g} s"
        if silent_s > MAX_PAUSE_S and (stat := read_stat(self.pid)) and stat.state == "T":
            return "was paused (SIGSTOP)"
        return ""

    def _close(self) -> None:
        self._child.close()
        self._selector.close()
