"""One client process as its parent sees it: its three pipes, what it last said, and how it ended.

Its owner runs the selector, so that one thread serves any number of them and a child that floods its stderr stalls
nobody.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import sysconfig
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

import coreserver
from coreserver.clients import worker_protocol
from coreserver.clients.result_file import WorkerResult, read_result
from coreserver.clock import now_ns, seconds
from coreserver.errors import CannotStart
from coreserver.records.client import ClientRecord, WorkerUsage

START_S = 20.0  # before its first line: interpreter and imports, on a machine that is busy
SILENCE_S = 4.0  # a living child sends two lines a second, so it is stopped or stuck; noticed and ended in 5 s
CANCEL_S = 2.0  # the same once it was cancelled, silence from before included: people wait
EXIT_S = 2.0  # from the end of its stdout to its exit
STDERR_KEPT_BYTES = 4096

# -P: the directory the lab was started in is no place to import from.
WORKER = ("-P", "-m", "coreserver.clients.worker")

_PLACE = re.compile(r"conn(\d+)(?:\.(\d+))?\Z")


class ClientProcess:
    """A child from its spawn to its end. It is gone for certain after `close`."""

    def __init__(self, spec: worker_protocol.Spec, selector: selectors.BaseSelector) -> None:
        self._spec = spec
        self._selector = selector
        self._line = b""  # of stdout, so far
        self._stderr = b""
        self._silence_s = START_S
        self.first_line: worker_protocol.Ready | worker_protocol.Refusal | None = None
        self.last: worker_protocol.Line | None = None
        self.rows: dict[str, ClientRecord] = {}
        self.news: dict[str, ClientRecord] = {}  # rows that the owner has not taken yet
        self._has_ended = False
        self.death: str | None = None  # how it died
        self.began = self._heard = time.monotonic()
        self._to_send = spec.model_dump_json().encode() + b"\n"
        self._child = _spawn()
        self._stdin = cast(IO[bytes], self._child.stdin)
        self._stdout = cast(IO[bytes], self._child.stdout)
        self._stderr_pipe = cast(IO[bytes], self._child.stderr)
        os.set_blocking(self._stdin.fileno(), False)
        selector.register(self._stdin, selectors.EVENT_WRITE, self._write)
        selector.register(self._stdout, selectors.EVENT_READ, self._read_lines)
        selector.register(self._stderr_pipe, selectors.EVENT_READ, self._read_stderr)

    @property
    def pid(self) -> int:
        """The process."""
        return self._child.pid

    @property
    def is_talking(self) -> bool:
        """Whether more may come from it."""
        return self.death is None and self._stdout in self._selector.get_map()

    @property
    def is_waited_for(self) -> bool:
        """Whether it has not even said its first line."""
        return self.first_line is None and self.is_talking

    def send(self, data: bytes) -> None:
        """Send an order; nothing happens to one that has ended."""
        if not self._to_send and self._stdin not in self._selector.get_map():
            self._selector.register(self._stdin, selectors.EVENT_WRITE, self._write)
        self._to_send += data

    def begin(self, start: worker_protocol.Start) -> None:
        """Tell it when the run begins; from now on it owes signs of life."""
        self.send(worker_protocol.write_start(start))
        self._silence_s = SILENCE_S
        self._heard = time.monotonic()

    def cancel(self) -> None:
        """Tell it to end its clients and deliver what it has; it has less time for that than for signs of life."""
        self.send(worker_protocol.CANCEL)
        self._silence_s = CANCEL_S

    def check(self) -> None:
        """See whether it was silent for too long, or has ended, and how. To be called when its pipes were attended to.

        Lines that waited unread while its owner was busy are no silence: they have been read by now.
        """
        if self.is_talking:
            if time.monotonic() - self._heard > self._silence_s:
                self._die(f"sent no sign of life for {self._silence_s:g} s and was killed")
        elif self.death is None and not self._has_ended:
            self._check_end()

    def _check_end(self) -> None:
        self._has_ended = True
        try:
            code = self._child.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            self._die("closed its output but did not end")
            return
        if code != worker_protocol.EXIT_DONE and not isinstance(self.first_line, worker_protocol.Refusal):
            self._die(_ended_by(code))

    def result(self, group_names: Sequence[str]) -> WorkerResult:
        """What it delivered; of a dead one the rows it had reported."""
        path = Path(self._spec.result_path)
        if self.death is None and path.exists():
            result = read_result(path)
            path.unlink()
            return result
        return self._partial(group_names)

    def what_is_lost(self) -> str:
        """Of a dead one: how many clients' ends are unknown, and its last words."""
        counts = self.last.progress.counts if self.last else {}
        due = counts.get("due", 0)
        unknown = due - counts.get("completed", 0) - counts.get("failed", 0)
        said = self._stderr.decode(errors="replace").strip()
        words = f". Its last words: {' | '.join(said.splitlines()[-5:])}" if said else ""
        return f"the end of {unknown} of its {due} clients is unknown, and all its messages{words}"

    def close(self) -> None:
        """End it, however far it is, and leave nothing of it."""
        self._child.kill()  # does nothing once it was waited for
        self._child.wait()
        for pipe in (self._stdin, self._stdout, self._stderr_pipe):
            if pipe in self._selector.get_map():
                self._selector.unregister(pipe)
            pipe.close()
        path = Path(self._spec.result_path)
        for left in (path, path.with_name(f"{path.name}.part")):
            left.unlink(missing_ok=True)

    def _die(self, how: str) -> None:
        self._child.kill()
        self._child.wait()
        while self._stderr_pipe in self._selector.get_map():  # what it said last may still be in the pipe
            self._read_stderr(self._stderr_pipe)
        for pipe in (self._stdin, self._stdout):
            if pipe in self._selector.get_map():
                self._selector.unregister(pipe)
        self.death = f"{how}, {time.monotonic() - self.began:.1f} s after its start"

    def _partial(self, group_names: Sequence[str]) -> WorkerResult:
        records = list(self.rows.values())
        at_ns = self.last.progress.at_ns if self.last else now_ns()
        elapsed_s = seconds(at_ns - self.last.progress.started_ns) if self.last else 0.0
        cpu_s = self.last.cpu_s if self.last else 0.0
        return WorkerResult(
            ended_ns=at_ns,
            complete=False,
            stopped_by=None,
            groups=(),
            usage=WorkerUsage(self.pid, cpu_s, elapsed_s, 0.0, 0.0, 0.0, len(records), 0),
            records=records,
            places=[_place(record, group_names) for record in records],
            stamps=array("q"),
        )

    # --- the pipes -----------------------------------------------------------------------------------------------

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
            self._take(worker_protocol.read_line(line))

    def _take(self, line: worker_protocol.Line | worker_protocol.Ready | worker_protocol.Refusal) -> None:
        self._heard = time.monotonic()
        if not isinstance(line, worker_protocol.Line):
            self.first_line = line
            return
        self.last = line
        changed = {row.name: row for row in line.progress.rows}
        self.rows.update(changed)
        self.news.update(changed)

    def _read_stderr(self, pipe: IO[bytes]) -> None:
        data = os.read(pipe.fileno(), 65536)
        self._stderr = (self._stderr + data)[-STDERR_KEPT_BYTES:]
        if not data:
            self._selector.unregister(pipe)


def _place(record: ClientRecord, group_names: Sequence[str]) -> tuple[int, int, int]:
    found = _PLACE.search(record.name)
    number, turn = (int(found[1]) - 1, int(found[2] or 1) - 1) if found else (0, 0)
    return group_names.index(record.group), number, turn


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
