"""The client process: a spec on stdin, lines of progress on stdout, the result in the file the spec names.

    python -m coreserver.clients.worker

stdin stays open as a lifeline: when it ends, so does this process, at once and with all its traffic. The line `cancel`
ends the traffic and delivers what was gathered. Whatever happens, a line goes out at least once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from coreserver.clients import wire
from coreserver.clients.connection import CheckedConnection
from coreserver.clients.limits import connections_of, raise_descriptor_limit
from coreserver.clients.player import ScriptPlayer
from coreserver.clients.records import ClientRecord, LoadResult
from coreserver.clients.script import actions_of, client_names
from coreserver.clients.tally import Tally
from coreserver.clients.target import Target
from coreserver.clients.timers import Timers
from coreserver.clock import NS_PER_MS, NS_PER_S, now_ns
from coreserver.config import LoadConfig
from coreserver.errors import CannotStart

new_event_loop: Callable[[], asyncio.AbstractEventLoop]
try:
    import uvloop

    new_event_loop = uvloop.new_event_loop
except ImportError:
    new_event_loop = asyncio.new_event_loop

LEAD_NS = 50 * NS_PER_MS  # from readiness to the run's zero, so that setting timers is never lateness
REPORT_EVERY_NS = 100 * NS_PER_MS
LINE_EVERY_NS = NS_PER_S // 2  # even when nothing has changed
ROWS_A_LINE = 500  # about what fits a pipe; encoding them takes half a millisecond, in which no client is attended to


def main() -> int:
    """Do what the spec on stdin asks; the exit code."""
    out = _Out()
    lines = _lines(sys.stdin.fileno())
    spec = wire.Spec.model_validate_json(next(lines))
    try:
        raise_descriptor_limit(connections_of(spec.load))
    except CannotStart as error:
        out.finish(wire.write_refusal(str(error)))
        return wire.EXIT_CANNOT_START
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        run = _Run(spec, runner.get_loop(), out)
        threading.Thread(target=_obey, args=(lines, run.cancel), name="lifeline", daemon=True).start()
        result = runner.run(run.measure())
    wire.write_result(Path(spec.result_path), result, run.report)
    out.finish(run.last_line())
    return wire.EXIT_DONE


class _Run:
    """One load, from its clients' creation to its result."""

    def __init__(self, spec: wire.Spec, loop: asyncio.AbstractEventLoop, out: _Out) -> None:
        self._loop = loop
        self._out = out
        loop.set_exception_handler(_die)
        self._timers = Timers(loop)
        self._tally = Tally()
        self._clients = clients_of(spec.load, Target(spec.host, spec.port), self._timers, self._tally)
        self._tally.expect(len(self._clients))
        self._due_ns: list[int] = []
        self._started_ns = 0
        self._started_wall_s = 0.0
        self._cpu_before_s = 0.0
        self._last_line_ns = 0
        self._cancelled = False

    def cancel(self) -> None:
        """End every client and with it the traffic. Called by the lifeline thread."""
        with contextlib.suppress(RuntimeError):  # the loop has closed: every client had ended
            self._loop.call_soon_threadsafe(self._cancel)

    async def measure(self) -> LoadResult:
        """Play every client to its end."""
        gc.collect()
        gc.freeze()
        self._begin()
        await self._tally.wait_all_closed()
        self._reporting.cancel()
        self._timers.close()
        return LoadResult(
            started_ns=self._started_ns,
            started_wall_s=self._started_wall_s,
            ended_ns=now_ns(),
            cpu_s=time.process_time() - self._cpu_before_s,
            records=[client.record for client in self._clients],
            complete=not self._cancelled,
        )

    def report(self) -> None:
        """Send a line, when one is due and the last one has gone out whole."""
        since_ns = now_ns() - self._last_line_ns
        wanted = since_ns >= LINE_EVERY_NS or (since_ns >= REPORT_EVERY_NS and self._tally.has_changes)
        if self._out.is_free() and wanted:
            self._out.send(self._line(ROWS_A_LINE))

    def last_line(self) -> bytes:
        """The counts at the end."""
        return self._line(ROWS_A_LINE)

    def _begin(self) -> None:
        self._cpu_before_s = time.process_time()
        self._started_ns = now_ns() + LEAD_NS
        self._started_wall_s = time.time() + (self._started_ns - now_ns()) / NS_PER_S
        for client in self._clients:
            client.record.due_ns += self._started_ns
            self._timers.at(client.record.due_ns, client.start)
        self._due_ns = sorted(client.record.due_ns for client in self._clients)
        self._keep_reporting()

    def _keep_reporting(self) -> None:
        self.report()
        # Not on our own timers, where whatever is due and late comes first: a swamped process must still give a sign.
        self._reporting = self._loop.call_later(REPORT_EVERY_NS / NS_PER_S, self._keep_reporting)

    def _line(self, at_most: int) -> bytes:
        self._last_line_ns = at_ns = now_ns()
        counts = self._tally.counts(self._due_ns, at_ns)
        progress = wire.Progress(at_ns, self._started_ns, counts, self._tally.take_changed(at_most))
        cpu_s = time.process_time() - self._cpu_before_s
        return wire.write_progress(wire.ProgressLine(progress, self._started_wall_s, cpu_s))

    def _cancel(self) -> None:
        self._cancelled = any(client.record.outcome is None for client in self._clients)
        for client in self._clients:
            client.cancel()


def clients_of(load: LoadConfig, target: Target, timers: Timers, tally: Tally) -> Sequence[CheckedConnection]:
    """Every client of `load`, in its order; their due times are counted from 0."""
    clients: list[CheckedConnection] = []
    for group, names in zip(load.clients, client_names(load.clients), strict=True):
        actions = actions_of(group)
        due_ns = round(group.start_s * NS_PER_S)
        clients += [
            ScriptPlayer(
                ClientRecord(name, group.name, due_ns),
                actions,
                number=number,
                target=target,
                timers=timers,
                tally=tally,
                timeout_s=group.timeout_s,
            )
            for number, name in enumerate(names, start=len(clients))
        ]
    return clients


class _Out:
    """stdout, for lines of ours alone: whatever else prints goes to stderr.

    Never waits for the parent while clients are at work: a parent too busy to read would otherwise stop the load.
    """

    def __init__(self) -> None:
        self._fd = os.dup(1)
        os.dup2(2, 1)
        os.set_blocking(self._fd, False)
        self._pending = b""

    def is_free(self) -> bool:
        """Whether all that was sent has gone out; tries to make it so."""
        with contextlib.suppress(BlockingIOError):
            while self._pending:
                self._pending = self._pending[os.write(self._fd, self._pending) :]
        return not self._pending

    def send(self, line: bytes) -> None:
        """Send `line`, as far as the pipe takes it now; the rest goes with later calls of `is_free`."""
        self._pending += line
        self.is_free()

    def finish(self, line: bytes) -> None:
        """Send `line` and all that is pending, however long the parent takes."""
        os.set_blocking(self._fd, True)
        self.send(line)


def _die(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A callback raised, which is a bug: better no result than one with a client that silently stopped."""
    error = context.get("exception")
    print(context["message"], file=sys.stderr)  # noqa: T201
    traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(1)


def _obey(lines: Iterator[bytes], cancel: Callable[[], None]) -> None:
    """Wait for orders on stdin; its end is the parent's, and then ours."""
    for line in lines:
        if line == wire.CANCEL:
            cancel()
    os._exit(wire.EXIT_ORPHANED)


def _lines(fd: int) -> Iterator[bytes]:
    """The lines that come from `fd`; raw, as a buffered file's lock, held by a daemon thread, would spoil our exit."""
    pending = b""
    while data := os.read(fd, 65536):
        pending += data
        while (end := pending.find(b"\n") + 1) > 0:
            yield pending[:end]
            pending = pending[end:]


if __name__ == "__main__":
    sys.exit(main())
