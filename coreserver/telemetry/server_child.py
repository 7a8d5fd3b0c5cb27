"""A server process seen from the lab: its telemetry frames as they arrive, and its end.

reader (one thread per child):  stdout → frames, stderr → last words, until stdout ends; then the child is reaped
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
# Without a frame for this long, a child that the kernel shows as stopped is ended; the freeze of one second in the
# experiment of docs/stalled-server.md passes.
MAX_PAUSE_S = 1.6
MAX_SILENCE_S = 10.0  # a child sends a sample ten times a second
EXIT_S = 1.0  # from the end of stdout to the end of the process


class ServerChild:
    """A running server process. Any thread may call any method.

    Args:
        argv: the program and its arguments.
        cpus: the CPUs it may run on; None: those of this process.
        on_frame: called by the reader for every frame; a WireError that it raises ends the child.
        on_end: called by the reader, once, after the child was reaped: how it ended, as a sentence.

    Raises:
        CannotStart: the machine refuses the process or its reader thread.
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
        said = f"; its last words: {' | '.join(ending.last_words)}" if ending.last_words else ""
        self._on_end(f"the server process {self.pid} {ending}{said}")

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
