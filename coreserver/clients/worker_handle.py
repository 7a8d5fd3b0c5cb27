"""One client process as its parent sees it: its last report, and how it ended.

The owner runs the selector, so one thread can serve any number of client processes.
"""

from __future__ import annotations

import re
import selectors
import time
from array import array
from collections.abc import Sequence
from pathlib import Path

from coreserver.child_process import Ending, ManagedChild, interpreter
from coreserver.clients import worker_protocol
from coreserver.clients.result_file import WorkerResult, read_result
from coreserver.clock import now_ns, seconds
from coreserver.records.client import ClientRecord, WorkerUsage

START_S = 20.0  # until its first line: interpreter and imports, on a busy machine
SILENCE_S = 4.0  # a running process sends two lines per second; one that is stopped or stuck is killed within 5 s
CANCEL_S = 2.0  # the same after a cancel, counted from its last line: the user waits for the end of the run
EXIT_S = 2.0  # from the end of its stdout to its exit
MAX_QUOTED_LINES = 5

COMMAND = interpreter("coreserver.clients.worker")

_PLACE = re.compile(r"conn(\d+)(?:\.(\d+))?\Z")


class ClientProcess:
    """A client process from its start to its end. Only the thread that runs the selector may use it.

    The caller sends commands with `begin` and `cancel`, calls `check` after each `dispatch`, and calls `close` at the
    end, in any state of the process. The end of the process is never an exception; see `death`.

    Attributes:
        first_line: the first report: ready, or the reason why it cannot start; None until then.
        last: the last progress that was reported.
        rows: the reported records by name.
        news: the reported records that the owner has not taken yet, by name.
        death: how it ended unexpectedly; None while it runs or if it ended as planned.
    """

    def __init__(self, spec: worker_protocol.Spec, selector: selectors.BaseSelector) -> None:
        self._spec = spec
        self._line = b""  # the incomplete last line of stdout
        self._silence_s = START_S
        self.first_line: worker_protocol.Ready | worker_protocol.Refusal | None = None
        self.last: worker_protocol.ProgressLine | None = None
        self.rows: dict[str, ClientRecord] = {}
        self.news: dict[str, ClientRecord] = {}
        self.death: str | None = None
        self._ending: Ending | None = None
        self._started_s = self._heard_s = time.monotonic()
        self._child = ManagedChild(COMMAND, selector, self._read_lines)
        self._child.send(spec.model_dump_json().encode() + b"\n")

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @property
    def is_reporting(self) -> bool:
        """Whether the process may send more lines."""
        return self.death is None and self._child.is_stdout_open

    @property
    def is_starting(self) -> bool:
        """Whether the process has not sent its first line yet."""
        return self.first_line is None and self.is_reporting

    def begin(self, start: worker_protocol.Start) -> None:
        """Send the start time of the run; from now on the process must send a line at least every SILENCE_S."""
        self._child.send(worker_protocol.write_start(start))
        self._silence_s = SILENCE_S
        self._heard_s = time.monotonic()

    def cancel(self) -> None:
        """Make the process end its clients and write its result; it must now send a line at least every CANCEL_S."""
        self._child.send(worker_protocol.CANCEL + b"\n")
        self._silence_s = CANCEL_S

    def check(self) -> None:
        """Kill the process if it has sent no line for too long; record how it ended, if it has.

        Call it after `dispatch`, which reads lines that arrived while the owner was busy. Otherwise that time would
        count as silence.
        """
        if self.is_reporting:
            if time.monotonic() - self._heard_s > self._silence_s:
                self._note_end(self._child.end(f"reported nothing for {self._silence_s:g} s"))
        elif self._ending is None:
            ending = self._child.wait(EXIT_S) or self._child.end("closed its output but did not exit")
            self._note_end(ending)

    def read_result(self, group_names: Sequence[str]) -> WorkerResult:
        """Return the result that the process wrote; if it ended unexpectedly, the records that it had reported."""
        path = Path(self._spec.result_path)
        if self.death is None and path.exists():
            result = read_result(path)
            path.unlink()
            return result
        return self._partial(group_names)

    def describe_loss(self) -> str:
        """Return how many clients of a process that ended unexpectedly have an unknown end, and its last output."""
        counts = self.last.progress.counts if self.last else {}
        due = counts.get("due", 0)
        unknown = due - counts.get("completed", 0) - counts.get("failed", 0)
        lines = self._ending.last_lines[-MAX_QUOTED_LINES:] if self._ending else ()
        output = f". Its last output: {' | '.join(lines)}" if lines else ""
        return f"the end of {unknown} of its {due} clients is unknown, and all its messages{output}"

    def close(self) -> None:
        """End the process in any state and remove its files."""
        self._child.end()
        self._child.close()
        path = Path(self._spec.result_path)
        for left in (path, path.with_name(f"{path.name}.part")):
            left.unlink(missing_ok=True)

    def _note_end(self, ending: Ending) -> None:
        self._ending = ending
        is_planned = ending.code == worker_protocol.EXIT_DONE or isinstance(self.first_line, worker_protocol.Refusal)
        if ending.reason or not is_planned:
            self.death = f"{ending}, {time.monotonic() - self._started_s:.1f} s after its start"

    def _read_lines(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._take(worker_protocol.read_line(line))

    def _take(self, line: worker_protocol.ProgressLine | worker_protocol.Ready | worker_protocol.Refusal) -> None:
        self._heard_s = time.monotonic()
        if not isinstance(line, worker_protocol.ProgressLine):
            self.first_line = line
            return
        self.last = line
        changed = {row.name: row for row in line.progress.rows}
        self.rows.update(changed)
        self.news.update(changed)

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


def _place(record: ClientRecord, group_names: Sequence[str]) -> tuple[int, int, int]:
    found = _PLACE.search(record.name)
    number, turn = (int(found[1]) - 1, int(found[2] or 1) - 1) if found else (0, 0)
    return group_names.index(record.group), number, turn
