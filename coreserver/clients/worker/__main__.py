"""The client process: `python -m coreserver.clients.worker`.

stdin:   the spec, then the start of the run, optionally `cancel`; the process exits at once when stdin ends
stdout:  "ready" when the schedule is computed, then reports, at least one per second
result:  in the file that the spec names

Several processes share a run and its start time, so each waits for the start line. After `cancel` the process ends its
clients and writes the result recorded so far.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from coreserver.clients import worker_protocol
from coreserver.clients.limits import reserve_connections
from coreserver.clients.result_file import WorkerResult, write_result
from coreserver.clients.schedule import plan_of, schedule_hash
from coreserver.clients.worker.context import WorkerContext
from coreserver.clients.worker.counts import ClientCounts
from coreserver.clients.worker.groups import groups_of
from coreserver.clients.worker.loop_timers import LoopTimers
from coreserver.clients.worker.session import WorkerSession
from coreserver.clients.worker.source_addresses import ClientTarget
from coreserver.errors import CannotStart
from coreserver.process_setup import claim_stdout, stdin_lines

new_event_loop: Callable[[], asyncio.AbstractEventLoop]
try:
    import uvloop

    new_event_loop = uvloop.new_event_loop
except ImportError:
    new_event_loop = asyncio.new_event_loop


def main() -> int:
    """Run the load of the spec on stdin; return the exit code."""
    out = _Output()
    lines = stdin_lines()
    spec = worker_protocol.Spec.model_validate_json(next(lines))
    if spec.load.client_cpus:
        os.sched_setaffinity(0, spec.load.client_cpus)
    try:
        max_open = reserve_connections(spec.load, spec.processes)
    except CannotStart as error:
        out.finish(worker_protocol.write_line(worker_protocol.Refusal(str(error))))
        return worker_protocol.EXIT_CANNOT_START
    plans = [plan_of(group, spec.load.seed) for group in spec.load.clients]
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(_die)
        target = ClientTarget(spec.host, spec.port, process=spec.process, processes=spec.processes)
        context = WorkerContext(target, LoopTimers(loop), ClientCounts(), max_open=max_open)
        groups = groups_of(spec.load, plans, context, (spec.process, spec.processes))
        gc.collect()
        gc.freeze()
        gc.disable()  # ended clients leave no cycles, and a collection would pause all clients
        out.send(worker_protocol.write_line(worker_protocol.Ready(schedule_hash(spec.load, plans))))
        order = next(lines, None)
        if order is None:
            return worker_protocol.EXIT_ORPHANED
        session = WorkerSession(
            context, groups, out, worker_protocol.read_start(order).started_ns, processes=spec.processes
        )
        threading.Thread(target=_follow_stdin, args=(lines, session.cancel), name="lifeline", daemon=True).start()
        results: list[WorkerResult] = []
        runner.run(_measure(session, results))
    [result] = results
    write_result(Path(spec.result_path), result, session.report)
    out.finish(session.last_report())
    return worker_protocol.EXIT_DONE


async def _measure(session: WorkerSession, results: list[WorkerResult]) -> None:
    """Put the result into `results` instead of returning it, because asyncio would format every record of it.

    (`Runner.run` compares signal handlers; the handler holds the task, and the comparison formats its repr.)
    """
    results.append(await session.measure())


class _Output:
    """Non-blocking output to stdout, for the lines of the protocol only.

    It does not wait for the parent while clients run: otherwise a parent that is too busy to read would stop the load.
    """

    def __init__(self) -> None:
        self._fd = claim_stdout()
        os.set_blocking(self._fd, False)
        self._pending = b""

    def flush(self) -> bool:
        """Write what the pipe takes; return whether everything was written."""
        with contextlib.suppress(BlockingIOError):
            while self._pending:
                self._pending = self._pending[os.write(self._fd, self._pending) :]
        return not self._pending

    def send(self, line: bytes) -> None:
        """Write as much of `line` as the pipe takes now; `flush` writes the rest."""
        self._pending += line
        self.flush()

    def finish(self, line: bytes) -> None:
        """Write `line` and everything pending, and wait until the pipe has taken it."""
        os.set_blocking(self._fd, True)
        self.send(line)


def _die(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """End the process after an exception in a callback: a result with a client that silently stopped would be wrong."""
    error = context.get("exception")
    print(context["message"], file=sys.stderr)  # noqa: T201
    traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(1)


def _follow_stdin(lines: Iterator[bytes], cancel: Callable[[], None]) -> None:
    """Handle the commands on stdin, and exit when stdin ends, because the parent has exited."""
    for line in lines:
        if line == worker_protocol.CANCEL:
            cancel()
    os._exit(worker_protocol.EXIT_ORPHANED)


if __name__ == "__main__":
    exit_code = main()
    sys.stderr.flush()
    os._exit(exit_code)  # freeing a few hundred thousand records one by one would take seconds without a report
