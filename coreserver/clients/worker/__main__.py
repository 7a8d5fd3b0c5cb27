"""The client process: a spec on stdin, lines of progress on stdout, the result in the file the spec names.

    python -m coreserver.clients.worker

When it has worked out its schedule it says so, and waits to be told when the run begins: several processes share a run
and its zero. stdin stays open as a lifeline: when it ends, so does this process, at once and with all its traffic. The
line `cancel` ends the traffic and delivers what was gathered. Whatever happens, a line goes out at least once a second.
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
from coreserver.clients.worker.source_addresses import Target
from coreserver.errors import CannotStart
from coreserver.process_setup import claim_stdout, stdin_lines

new_event_loop: Callable[[], asyncio.AbstractEventLoop]
try:
    import uvloop

    new_event_loop = uvloop.new_event_loop
except ImportError:
    new_event_loop = asyncio.new_event_loop


def main() -> int:
    """Do what the spec on stdin asks; the exit code."""
    out = _Out()
    lines = stdin_lines()
    spec = worker_protocol.Spec.model_validate_json(next(lines))
    if spec.load.client_cpus:
        os.sched_setaffinity(0, spec.load.client_cpus)
    try:
        most_open = reserve_connections(spec.load, spec.processes)
    except CannotStart as error:
        out.finish(worker_protocol.write_line(worker_protocol.Refusal(str(error))))
        return worker_protocol.EXIT_CANNOT_START
    plans = [plan_of(group, spec.load.seed) for group in spec.load.clients]
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(_die)
        target = Target(spec.host, spec.port, process=spec.process, processes=spec.processes)
        stage = WorkerContext(target, LoopTimers(loop), ClientCounts(), most_open=most_open)
        groups = groups_of(spec.load, plans, stage, (spec.process, spec.processes))
        gc.collect()
        gc.freeze()
        gc.disable()  # what clients leave behind has no cycles, and a collection is a pause of them all
        out.send(worker_protocol.write_line(worker_protocol.Ready(schedule_hash(spec.load, plans))))
        order = next(lines, None)
        if order is None:
            return worker_protocol.EXIT_ORPHANED
        playing = WorkerSession(
            stage, groups, out, worker_protocol.read_start(order).started_ns, processes=spec.processes
        )
        threading.Thread(target=_obey, args=(lines, playing.cancel), name="lifeline", daemon=True).start()
        results: list[WorkerResult] = []
        runner.run(_measure(playing, results))
    [result] = results
    write_result(Path(spec.result_path), result, playing.report)
    out.finish(playing.last_line())
    return worker_protocol.EXIT_DONE


async def _measure(playing: WorkerSession, results: list[WorkerResult]) -> None:
    """Put what comes of it into `results`. Returned, it would be written out as text, every record of it, by asyncio.

    (`Runner.run` compares signal handlers; ours holds the task, and the comparison makes a message of its repr.)
    """
    results.append(await playing.measure())


class _Out:
    """stdout, for lines of ours alone: whatever else prints goes to stderr.

    Never waits for the parent while clients are at work: a parent too busy to read would otherwise stop the load.
    """

    def __init__(self) -> None:
        self._fd = claim_stdout()
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
        if line == worker_protocol.CANCEL:
            cancel()
    os._exit(worker_protocol.EXIT_ORPHANED)


if __name__ == "__main__":
    exit_code = main()
    sys.stderr.flush()
    os._exit(exit_code)  # taking a few hundred thousand records apart one by one would be seconds of silence
