"""One run in one client process, from its start to its result."""

from __future__ import annotations

import contextlib
import os
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from coreserver.clients import worker_protocol
from coreserver.clients.result_file import WorkerResult
from coreserver.clients.worker.context import WorkerContext
from coreserver.clients.worker.groups import GroupClients
from coreserver.clients.worker.loop_timers import LoopTimers
from coreserver.clock import NS_PER_MS, NS_PER_S, milliseconds, now_ns, seconds
from coreserver.records.client import WorkerUsage

REPORT_EVERY_NS = 25 * NS_PER_MS  # while there are changes
MAX_SILENCE_NS = NS_PER_S // 2  # a report is sent this often even without changes
MAX_ROWS = 8  # per report: encoding more would show in the lateness, because no client is served meanwhile
MAX_LAST_ROWS = 1000
LAG_EVERY_NS = 10 * NS_PER_MS

# A run keeps all records in memory, so their number is limited: this is about 250 MB here, and a few times as much in
# the process that merges the results.
MAX_MESSAGES = 8_000_000
MAX_CONNECTIONS = 500_000


class Output(Protocol):
    """A non-blocking output of lines."""

    def flush(self) -> bool:
        """Write what the pipe takes; return whether everything was written."""

    def send(self, line: bytes) -> None:
        """Send `line` without waiting."""


class WorkerSession:
    """One run in one client process: starts the clients of `groups`, reports progress and returns the result.

    `measure`, `report` and `last_report` are called in the loop's thread; only `cancel` may be called by another. The
    run ends when every client has ended. A run that reaches MAX_MESSAGES or MAX_CONNECTIONS starts no more clients and
    names the limit in its result. Reports never block: while the pipe is full, none is sent.

    Args:
        started_ns: the start of the run, which may be slightly in the future.
        processes: the number of processes that share the run and its limits.
    """

    def __init__(
        self, context: WorkerContext, groups: Sequence[GroupClients], out: Output, started_ns: int, *, processes: int
    ) -> None:
        self._context = context
        self._groups = groups
        self._out = out
        self._started_ns = started_ns
        self._max_messages = MAX_MESSAGES // processes
        self._max_connections = MAX_CONNECTIONS // processes
        self._cpu_before_s = 0.0
        self._reported_ns = 0
        self._cancelled = False
        self._stopped_by: str | None = None
        # Separate timers: behind the callbacks of clients, the lag would depend on the number of due clients.
        self._lag_timers = LoopTimers(context.timers.loop)
        self._lags = array("q")

    def cancel(self) -> None:
        """End every client, and with them the run. Called in the lifeline thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: every client has ended
            self._context.timers.loop.call_soon_threadsafe(self._cancel)

    async def measure(self) -> WorkerResult:
        """Run every client to its end; return the result."""
        context = self._context
        self._cpu_before_s = time.process_time()
        for group in self._groups:
            group.begin(self._started_ns)
        self._keep_reporting()
        self._measure_lag(self._started_ns)
        await context.counts.wait_all_closed()
        ended_ns = now_ns()
        self._reporting.cancel()
        self._lag_timers.close()
        context.close()
        started = Counter(
            place[0] for place, r in zip(context.places, context.records, strict=True) if r.connect_start_ns
        )
        return WorkerResult(
            ended_ns=ended_ns,
            complete=not self._cancelled,
            stopped_by=self._stopped_by,
            groups=tuple(group.count(ended_ns, started[index]) for index, group in enumerate(self._groups)),
            usage=self._usage(ended_ns),
            records=context.records,
            places=context.places,
            stamps=context.columns.stamps,
        )

    def report(self) -> None:
        """Send a report if one is due and the last one was written completely."""
        since_ns = now_ns() - self._reported_ns
        if since_ns < REPORT_EVERY_NS:
            return
        if (since_ns >= MAX_SILENCE_NS or self._context.counts.has_changes) and self._out.flush():
            self._out.send(self._encode_report(MAX_ROWS))

    def last_report(self) -> bytes:
        """Return the report for the end of the run."""
        return self._encode_report(MAX_LAST_ROWS)

    def _keep_reporting(self) -> None:
        self._check_limits()
        self.report()
        # Not on `timers`, where the callbacks of late clients come first: an overloaded process must still report.
        self._reporting = self._context.timers.loop.call_later(REPORT_EVERY_NS / NS_PER_S, self._keep_reporting)

    def _encode_report(self, at_most: int) -> bytes:
        self._reported_ns = at_ns = now_ns()
        counts = self._context.counts.by_phase(sum(group.due(at_ns) for group in self._groups))
        counts["messages"] = len(self._context.columns)
        progress = worker_protocol.Progress(at_ns, self._started_ns, counts, self._context.counts.take_changed(at_most))
        return worker_protocol.write_line(
            worker_protocol.ProgressLine(progress, time.process_time() - self._cpu_before_s)
        )

    def _cancel(self) -> None:
        self._cancelled = self._cancelled or not self._context.counts.is_all_closed
        self._context.cancel()
        for group in self._groups:
            group.cancel()

    def _check_limits(self) -> None:
        messages, connections = len(self._context.columns), len(self._context.records)
        if self._stopped_by is None and (messages > self._max_messages or connections > self._max_connections):
            self._stopped_by = (
                f"MAX_MESSAGES: a run keeps at most {MAX_MESSAGES:,}"
                if messages > self._max_messages
                else f"MAX_CONNECTIONS: a run keeps at most {MAX_CONNECTIONS:,}"
            )
            self._context.is_over = True
            for group in self._groups:
                group.cancel()

    def _measure_lag(self, due_ns: int) -> None:
        self._lags.append(max(0, now_ns() - due_ns))
        next_ns = due_ns + LAG_EVERY_NS  # even if it has passed, so that a long stall counts as many lags
        self._lag_timers.at(next_ns, lambda: self._measure_lag(next_ns))

    def _usage(self, ended_ns: int) -> WorkerUsage:
        lags = sorted(self._lags[1:]) or [0]  # the first was measured before the run
        return WorkerUsage(
            pid=os.getpid(),
            cpu_s=time.process_time() - self._cpu_before_s,
            elapsed_s=seconds(max(0, ended_ns - self._started_ns)),
            lag_p50_ms=milliseconds(lags[len(lags) // 2]),
            lag_p99_ms=milliseconds(lags[len(lags) * 99 // 100]),
            lag_max_ms=milliseconds(lags[-1]),
            connections=len(self._context.records),
            messages=len(self._context.columns),
        )
