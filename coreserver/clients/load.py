"""A load in client processes: start them, read their progress, cancel them, and merge their results."""

from __future__ import annotations

import selectors
import threading
import time
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType

from coreserver.child_process import dispatch
from coreserver.clients import worker_protocol
from coreserver.clients.allowed_targets import refusal
from coreserver.clients.limits import processes_for
from coreserver.clients.merge_results import Beginning, merge
from coreserver.clients.worker_handle import ClientProcess
from coreserver.clients.worker_protocol import Progress
from coreserver.clock import NS_PER_MS, NS_PER_S, now_ns
from coreserver.config.load import LoadConfig
from coreserver.errors import CannotStart, WorkerDied
from coreserver.records.client import ClientRecord, LoadResult

LEAD_NS = 100 * NS_PER_MS  # from sending the start time to the start, so that its delivery causes no lateness
TICK_S = 0.05  # between two checks of `cancel`, because a threading.Event cannot wake a selector
PROGRESS_EVERY_S = 0.1
MAX_ROWS = 1000  # in one Progress

__all__ = ["LoadProcesses", "LoadProcessesDied", "Progress"]


class LoadProcessesDied(WorkerDied):
    """A client process ended without its result.

    `partial` has the results of the other processes and the records that this one had reported.
    """

    def __init__(self, message: str, partial: LoadResult) -> None:
        super().__init__(message)
        self.partial = partial


class LoadProcesses:
    """The client processes of one load, as a context manager that can be used once.

    Entering starts the processes; they compute their schedules and wait. `measure` runs the load. Leaving kills the
    processes that still run and removes their result files. One thread does all this, including all input and output;
    another thread may only set the `cancel` event of `measure`.

    Args:
        address: numeric host and port to connect to.
        load: the settings of the load.
        result_path: path of the result files, to which each process appends its number.

    Raises:
        CannotStart: load to this address is always refused, or (on entering) a process cannot be started.
    """

    def __init__(self, address: tuple[str, int], load: LoadConfig, *, result_path: Path) -> None:
        if reason := refusal(ip_address(address[0])):
            raise CannotStart(f"cannot send load to {address[0]}: {reason}")
        processes = processes_for(load)
        self._group_names = [group.name for group in load.clients]
        self._specs = [
            worker_protocol.Spec(
                host=address[0],
                port=address[1],
                load=load,
                process=process,
                processes=processes,
                result_path=str(result_path.absolute().with_name(f"{result_path.name}.{process}")),
            )
            for process in range(processes)
        ]
        self._children: list[ClientProcess] = []
        self._progress_at = 0.0

    def __enter__(self) -> LoadProcesses:
        self._selector = selectors.DefaultSelector()
        try:
            for spec in self._specs:
                self._children.append(ClientProcess(spec, self._selector))
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def pids(self) -> list[int]:
        """The ids of the client processes."""
        return [child.pid for child in self._children]

    def measure(self, cancel: threading.Event, on_progress: Callable[[Progress], object]) -> LoadResult:
        """Run the load to its end, or until `cancel` is set; blocks.

        Args:
            on_progress: called in this thread about ten times per second.

        Raises:
            CannotStart: a resource that the load needs is not available; nothing was sent.
            LoadProcessesDied: a process ended unexpectedly, or was killed because it stopped reporting; the others were
                cancelled.
        """
        while any(child.is_starting for child in self._children) and not self._is_any_dead():
            self._poll()
        beginning = self._begin()
        is_cancelled = False
        while any(child.is_reporting for child in self._children):
            self._poll()
            self._report(on_progress)
            if not is_cancelled and (cancel.is_set() or self._is_any_dead()):
                is_cancelled = True
                self._cancel()
        while any(child.news for child in self._children):
            self._report(on_progress, is_last=True)
        return self._outcome(beginning)

    def _begin(self) -> Beginning:
        """Send the start time to every process, unless one has ended unexpectedly."""
        first_lines = [child.first_line for child in self._children]
        for line in first_lines:
            if isinstance(line, worker_protocol.Refusal):
                raise CannotStart(line.reason)
        hashes = {line.schedule_sha256 for line in first_lines if isinstance(line, worker_protocol.Ready)}
        at_ns, wall_s = now_ns(), time.time()
        beginning = Beginning(at_ns + LEAD_NS, wall_s + LEAD_NS / NS_PER_S, hashes.pop() if len(hashes) == 1 else None)
        for child in self._children:
            if not self._is_any_dead():
                child.begin(worker_protocol.Start(beginning.started_ns))
        return beginning

    def _poll(self) -> None:
        dispatch(self._selector, TICK_S)
        for child in self._children:
            child.check()

    def _cancel(self) -> None:
        for child in self._children:
            if child.is_reporting:
                child.cancel()

    def _is_any_dead(self) -> bool:
        return any(child.death for child in self._children)

    def _report(self, on_progress: Callable[[Progress], object], *, is_last: bool = False) -> None:
        lines = [child.last for child in self._children if child.last]
        if not lines or (time.monotonic() - self._progress_at < PROGRESS_EVERY_S and not is_last):
            return
        self._progress_at = time.monotonic()
        counts: Counter[str] = Counter()
        for line in lines:
            counts.update(line.progress.counts)
        rows: list[ClientRecord] = []
        for child in self._children:
            rows += [child.news.pop(name) for name in list(child.news)[: MAX_ROWS - len(rows)]]
        first = lines[0].progress
        on_progress(Progress(max(line.progress.at_ns for line in lines), first.started_ns, dict(counts), rows))

    def _outcome(self, beginning: Beginning) -> LoadResult:
        results = [child.read_result(self._group_names) for child in self._children]
        result = merge(beginning, results)
        dead = next((child for child in self._children if child.death), None)
        if dead is None:
            return result
        raise LoadProcessesDied(f"client process {dead.pid} {dead.death}; {dead.describe_loss()}", result)

    def _close(self) -> None:
        for child in self._children:
            child.close()
        self._selector.close()
