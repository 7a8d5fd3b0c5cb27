"""Queue of runs, and the thread that executes them one at a time, because concurrent runs would disturb each other."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator

from coreserver.clients.load import Progress
from coreserver.hosting.host import ServerHost
from coreserver.records.codec import encode_connections
from coreserver.records.run_result import RunResult
from coreserver.reports.build import RunInfo, ServerInfo, build_report
from coreserver.reports.environment import describe_machine
from coreserver.runs.execute import execute
from webapp.lab.change_feed import LAB, PROGRESS, Feed, progress_topic, run_topic
from webapp.lab.live_run import LiveRun
from webapp.lab.run_target import TargetUnavailable, describe_target, open_target, resolve_target
from webapp.lab.servers import Servers
from webapp.problems import Quota, StorageFull, Unavailable
from webapp.schemas.resources import Reason
from webapp.schemas.run_spec import RunSpec
from webapp.settings import Settings
from webapp.storage.store import Result, RunEnding, Store, now

log = logging.getLogger(__name__)

CANCELLED = Reason(code="cancelled", detail="the run was cancelled")
SHUTDOWN = Reason(code="shutdown", detail="shutdown: the lab was stopped")
TIME_LIMIT = "time_limit"
STORE_ATTEMPTS = 3  # each waits at most the busy timeout of the database
CLOSE_S = 5.0


class RunQueue:
    """FIFO queue of runs, executed one at a time by the thread named `runs`.

    Any thread may call the public methods; those that cancel, submit or close write to the database. `_changed` guards
    the queue, the run in progress, the reserved places and the unsaved ends; it is not held while a run is executed or
    stored. A run ends exactly once, with one RunEnding. Errors while a run is executed, of the target, the disk or the
    code, become the reason of that run, and the next run is executed.

    If the end of a run cannot be stored, it is kept in memory (`unsaved`) and stored before the next run or by `close`.

    Args:
        before_run: called in that thread before each run, while `is_busy` is already true.
    """

    def __init__(
        self, settings: Settings, store: Store, servers: Servers, feed: Feed, *, before_run: Callable[[], None]
    ) -> None:
        self._before_run = before_run
        self._settings, self._store, self._servers, self._feed = settings, store, servers, feed
        self._changed = threading.Condition()
        self._queue: deque[LiveRun] = deque()
        self._current: LiveRun | None = None
        self._reserved = 0  # places in the queue for runs that are being stored
        self._closed = False
        self._unsaved: dict[int, RunEnding] = {}  # ends that could not be stored yet
        self._work_dir = settings.data_dir / "work"
        shutil.rmtree(self._work_dir, ignore_errors=True)  # left behind by a killed lab
        self._work_dir.mkdir()
        self._thread = threading.Thread(target=self._run, name="runs", daemon=True)
        self._thread.start()

    # --- any thread ----------------------------------------------------------------------------------------------

    def submit(self, spec: RunSpec) -> int:
        """Store and queue a run; return its id. A Problem means that nothing was stored."""
        target = resolve_target(spec, self._servers, self._settings)
        lease = target.lease
        try:
            with self._place():
                run_id = self._store.add_run(
                    spec.model_dump(mode="json"),
                    label=spec.label,
                    note=spec.note,
                    model=target.model,
                    server_id=lease.server_id if lease else None,
                    created_at=now(),
                )
                if lease:
                    lease.run_id = run_id
                with self._changed:
                    self._queue.append(LiveRun(run_id, spec, target))
                    self._changed.notify_all()
        except BaseException:
            self._servers.release(lease)
            raise
        self._feed.touch(LAB)
        return run_id

    def live(self, run_id: int) -> LiveRun | None:
        """Return the run while it is queued or in progress; otherwise None."""
        with self._changed:
            if self._current is not None and self._current.id == run_id:
                return self._current
            return next((run for run in self._queue if run.id == run_id), None)

    def is_busy(self) -> bool:
        """Whether a run is queued or in progress."""
        with self._changed:
            return bool(self._current or self._queue)

    def before(self, run: LiveRun) -> int | None:
        """Return the number of runs ahead of a queued one; None for a run in progress."""
        with self._changed:
            if run not in self._queue:
                return None
            return self._queue.index(run) + (self._current is not None)

    def unsaved(self, run_id: int) -> RunEnding | None:
        """Return how the run ended if that could not be stored yet; otherwise None."""
        with self._changed:
            return self._unsaved.get(run_id)

    def cancel(self, run_id: int, reason: Reason = CANCELLED) -> None:
        """Cancel a run: a queued one ends now, the one in progress soon. Does nothing if it has ended."""
        run = self.live(run_id)
        if run is None:
            return
        run.stop(reason)
        with self._changed:
            if run not in self._queue:
                return  # in progress: the thread `runs` ends it
            self._queue.remove(run)
        self._end(run, RunEnding("cancelled", now(), reason))

    def wait(self, run_id: int, timeout_s: float) -> None:
        """Block until the run has ended, at most `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.live(run_id) is None, timeout_s)

    def touch(self, run_id: int) -> None:
        """Announce a change of this run."""
        self._feed.touch(run_topic(run_id), LAB)

    def begin_close(self) -> None:
        """Cancel all runs and refuse new ones, without waiting."""
        with self._changed:
            self._closed = True
            runs = [*self._queue, *([self._current] if self._current else [])]
            self._changed.notify_all()
        for run in runs:
            self.cancel(run.id, SHUTDOWN)

    def close(self) -> None:
        """Cancel all runs and wait for the one in progress, for at most CLOSE_S."""
        self.begin_close()
        self._thread.join(CLOSE_S)
        self._save_leftovers()

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """Reserve a place in the queue while the run is being stored."""
        limit = self._settings.max_queued_runs
        with self._changed:
            if self._closed:
                raise Unavailable("the lab is closing")
            if len(self._queue) + self._reserved >= limit and (self._current or self._queue):
                raise Quota(
                    "max_queued_runs", f"{limit} runs are already queued; wait until one has ended, or cancel one"
                )
            self._reserved += 1
        try:
            yield
        finally:
            with self._changed:
                self._reserved -= 1

    # --- the thread `runs` ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while run := self._next():
            self._save_leftovers()
            self._end(run, self._execute(run))

    def _next(self) -> LiveRun | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if self._closed:
                return None
            self._current = self._queue.popleft()
            return self._current

    def _execute(self, run: LiveRun) -> RunEnding:
        self._before_run()
        run.started_at = now()
        watchdog = threading.Timer(self._settings.max_run_s, run.stop, [self._time_limit()])
        watchdog.start()
        try:
            self._store.start_run(run.id, run.started_at)
            self.touch(run.id)
            with open_target(run.target, self._servers) as host:
                run.begin(host)
                self.touch(run.id)
                result = self._measure(run, host)
                run.report()
                self.touch(run.id)
                info = describe_target(run.target, host, self._servers)
            return self._ending(run, info, result)
        except (StorageFull, Unavailable) as problem:
            return RunEnding("failed", now(), Reason(code="storage", detail=problem.detail))
        except TargetUnavailable as error:
            return RunEnding("failed", now(), Reason(code=error.code, detail=str(error)))
        except Exception:
            log.exception("run %d failed", run.id)
            return RunEnding("failed", now(), Reason(code="internal", detail="internal error; see the log of the lab"))
        finally:
            watchdog.cancel()
            watchdog.join()

    def _measure(self, run: LiveRun, host: ServerHost | None) -> RunResult:
        path = self._work_dir / f"run-{run.id}.json"

        def on_progress(progress: Progress) -> None:
            run.take(progress)
            self._feed.touch(progress_topic(run.id), PROGRESS)

        try:
            return execute(
                host,
                run.spec.load(),
                result_path=path,
                cancel=run.cancel,
                on_progress=on_progress,
                address=run.target.address,
            )
        finally:
            path.unlink(missing_ok=True)

    def _ending(self, run: LiveRun, server: ServerInfo, result: RunResult) -> RunEnding:
        """Return the state that follows from the result, with the report."""
        ended_at = now()
        state, reason = result.outcome, None
        if result.outcome == "failed":
            reason = Reason(code=result.failure or "failed", detail=result.failure_detail or "")
        elif result.outcome == "cancelled":
            reason = run.cancelled_because or CANCELLED
            state = "failed" if reason.code == TIME_LIMIT else "cancelled"
        row = self._store.get_run(run.id)
        info = RunInfo(
            id=run.id,
            label=row.label,
            note=row.note,
            seed=run.spec.seed,
            config=row.config,
            created_at=row.created_at,
            started_at=run.started_at,
            ended_at=ended_at,
            state=state,
            failure=reason.code if reason else None,
            failure_detail=reason.detail if reason else None,
        )
        report = build_report(info, result, server, describe_machine())
        connections = encode_connections(result.connections)
        stored = Result(result.load.started_ns, result.load.started_wall_s, report, connections)
        return RunEnding(state, ended_at, reason, stored)

    def _time_limit(self) -> Reason:
        return Reason(code=TIME_LIMIT, detail=f"max_run_s: a run lasts at most {self._settings.max_run_s:g} s")

    # --- ends ----------------------------------------------------------------------------------------------------

    def _end(self, run: LiveRun, ending: RunEnding) -> None:
        """Store the end, then announce it: a run that is `completed` has a report."""
        unsaved = self._save(run.id, ending)
        with self._changed:
            if unsaved is not None:
                self._unsaved[run.id] = unsaved
            if self._current is run:
                self._current = None
            self._servers.release(run.target.lease)
            self._changed.notify_all()
        self.touch(run.id)

    def _save(self, run_id: int, ending: RunEnding) -> RunEnding | None:
        """Store the end of a run. Return None, or if that fails the ending to show instead and to store later."""
        for _ in range(STORE_ATTEMPTS):
            try:
                self._store.end_run(run_id, ending)
            except Unavailable as problem:
                detail = problem.detail
            except StorageFull as problem:
                detail = problem.detail
                break
            else:
                return None
        failed = RunEnding(
            "failed", ending.at, Reason(code="storage", detail=f"the result could not be stored: {detail}")
        )
        try:
            self._store.end_run(run_id, failed)  # smaller than a report
        except (StorageFull, Unavailable):
            return failed
        return None

    def _save_leftovers(self) -> None:
        with self._changed:
            leftovers = list(self._unsaved.items())
        for run_id, ending in leftovers:
            try:
                self._store.end_run(run_id, ending)
            except (StorageFull, Unavailable):
                return
            with self._changed:
                del self._unsaved[run_id]
