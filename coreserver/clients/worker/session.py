"""One run in one client process, from its begin to its result."""

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

REPORT_EVERY_NS = 25 * NS_PER_MS  # while there is news
LINE_EVERY_NS = NS_PER_S // 2  # even when nothing has changed
ROWS_A_LINE = 8  # encoding more would show in the lateness: no client is attended to meanwhile
ROWS_AT_THE_END = 1000
LAG_EVERY_NS = 10 * NS_PER_MS

# A run keeps every fact it finds, so that it must end before they fill the memory: about 250 MB here, and as much again
# a few times over where they are put together.
MAX_MESSAGES = 8_000_000
MAX_CONNECTIONS = 500_000


class Out(Protocol):
    """Where lines go."""

    def is_free(self) -> bool:
        """Whether all that was sent has gone out."""

    def send(self, line: bytes) -> None:
        """Send `line`, never waiting."""


class WorkerSession:
    """The clients of `groups` on their `stage`; the run's zero is `started_ns`, in the near future."""

    def __init__(
        self, stage: WorkerContext, groups: Sequence[GroupClients], out: Out, started_ns: int, *, processes: int
    ) -> None:
        self._stage = stage
        self._groups = groups
        self._out = out
        self._started_ns = started_ns
        self._most_messages = MAX_MESSAGES // processes
        self._most_connections = MAX_CONNECTIONS // processes
        self._cpu_before_s = 0.0
        self._last_line_ns = 0
        self._cancelled = False
        self._stopped_by: str | None = None
        self._lag_timers = LoopTimers(
            stage.timers.loop
        )  # of its own: behind a crowd that is due it would measure the crowd
        self._lags = array("q")

    def cancel(self) -> None:
        """End every client and with it the traffic. Called by the lifeline thread."""
        with contextlib.suppress(RuntimeError):  # the loop has closed: every client had ended
            self._stage.timers.loop.call_soon_threadsafe(self._cancel)

    async def measure(self) -> WorkerResult:
        """Play every client to its end."""
        stage = self._stage
        self._cpu_before_s = time.process_time()
        for group in self._groups:
            group.begin(self._started_ns)
        self._keep_reporting()
        self._look_at_lag(self._started_ns)
        await stage.tally.wait_all_closed()
        ended_ns = now_ns()
        self._reporting.cancel()
        self._lag_timers.close()
        stage.close()
        started = Counter(place[0] for place, r in zip(stage.places, stage.records, strict=True) if r.connect_start_ns)
        return WorkerResult(
            ended_ns=ended_ns,
            complete=not self._cancelled,
            stopped_by=self._stopped_by,
            groups=tuple(group.count(ended_ns, started[index]) for index, group in enumerate(self._groups)),
            usage=self._usage(ended_ns),
            records=stage.records,
            places=stage.places,
            stamps=stage.columns.stamps,
        )

    def report(self) -> None:
        """Send a line, when one is due and the last one has gone out whole."""
        since_ns = now_ns() - self._last_line_ns
        if since_ns < REPORT_EVERY_NS:
            return
        if (since_ns >= LINE_EVERY_NS or self._stage.tally.has_changes) and self._out.is_free():
            self._out.send(self._line(ROWS_A_LINE))

    def last_line(self) -> bytes:
        """The counts at the end."""
        return self._line(ROWS_AT_THE_END)

    def _keep_reporting(self) -> None:
        self._look_at_limits()
        self.report()
        # Not on our own timers, where whatever is due and late comes first: a swamped process must still give a sign.
        self._reporting = self._stage.timers.loop.call_later(REPORT_EVERY_NS / NS_PER_S, self._keep_reporting)

    def _line(self, at_most: int) -> bytes:
        self._last_line_ns = at_ns = now_ns()
        counts = self._stage.tally.counts(sum(group.due(at_ns) for group in self._groups))
        counts["messages"] = len(self._stage.columns)
        progress = worker_protocol.Progress(at_ns, self._started_ns, counts, self._stage.tally.take_changed(at_most))
        return worker_protocol.write_line(worker_protocol.Report(progress, time.process_time() - self._cpu_before_s))

    def _cancel(self) -> None:
        self._cancelled = self._cancelled or not self._stage.tally.is_all_closed
        self._stage.cancel()
        for group in self._groups:
            group.cancel()

    def _look_at_limits(self) -> None:
        messages, connections = len(self._stage.columns), len(self._stage.records)
        if self._stopped_by is None and (messages > self._most_messages or connections > self._most_connections):
            self._stopped_by = (
                f"MAX_MESSAGES: a run keeps {MAX_MESSAGES:,}"
                if messages > self._most_messages
                else f"MAX_CONNECTIONS: a run keeps {MAX_CONNECTIONS:,}"
            )
            self._stage.is_over = True
            for group in self._groups:
                group.cancel()

    def _look_at_lag(self, due_ns: int) -> None:
        self._lags.append(max(0, now_ns() - due_ns))
        next_ns = due_ns + LAG_EVERY_NS  # also of instants missed meanwhile: a long stall is many lags
        self._lag_timers.at(next_ns, lambda: self._look_at_lag(next_ns))

    def _usage(self, ended_ns: int) -> WorkerUsage:
        lags = sorted(self._lags[1:]) or [0]  # the first look was before the run
        return WorkerUsage(
            pid=os.getpid(),
            cpu_s=time.process_time() - self._cpu_before_s,
            elapsed_s=seconds(max(0, ended_ns - self._started_ns)),
            lag_p50_ms=milliseconds(lags[len(lags) // 2]),
            lag_p99_ms=milliseconds(lags[len(lags) * 99 // 100]),
            lag_max_ms=milliseconds(lags[-1]),
            connections=len(self._stage.records),
            messages=len(self._stage.columns),
        )
