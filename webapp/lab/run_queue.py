"""The one thread that carries runs out, one after the other: two at a time would disturb each other's figures."""

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
from webapp.lab.change_feed import LAB, Feed, run_topic
from webapp.lab.live_run import LiveRun
from webapp.lab.run_target import CouldNotServe, described, destination_of, reached
from webapp.lab.servers import Servers
from webapp.problems import Quota, StorageFull, Unavailable
from webapp.schemas.resources import Reason
from webapp.schemas.run_spec import RunSpec
from webapp.settings import Settings
from webapp.storage.store import Result, RunEnding, Store, now

log = logging.getLogger(__name__)

ASKED = Reason(code="cancelled", detail="somebody asked for its end")
SHUTDOWN = Reason(code="shutdown", detail="shutdown: the lab was told to end")
TIME_LIMIT = "time_limit"
STORE_ATTEMPTS = 3  # each waits for its turn as long as the database's busy timeout
CLOSE_S = 5.0


class RunQueue:
    """The queue and the run in progress. `_changed` guards both; the thread named `runs` does the work.

    Args:
        before_run: called by that thread before each run, when `is_busy` is already true.
    """

    def __init__(
        self, settings: Settings, store: Store, servers: Servers, feed: Feed, *, before_run: Callable[[], None]
    ) -> None:
        self._before_run = before_run
        self._settings, self._store, self._servers, self._feed = settings, store, servers, feed
        self._changed = threading.Condition()
        self._queue: deque[LiveRun] = deque()
        self._current: LiveRun | None = None
        self._promised = 0  # places in the queue for runs that are being written down
        self._closed = False
        self._unsaved: dict[int, RunEnding] = {}  # ends that the database could not take yet
        self._work_dir = settings.data_dir / "work"
        shutil.rmtree(self._work_dir, ignore_errors=True)  # what a killed lab left
        self._work_dir.mkdir()
        self._thread = threading.Thread(target=self._run, name="runs", daemon=True)
        self._thread.start()

    # --- any thread ----------------------------------------------------------------------------------------------

    def submit(self, spec: RunSpec) -> int:
        """Write a run down and queue it; its id. Any Problem: there is no such run."""
        destination = destination_of(spec, self._servers, self._settings)
        claim = destination.claim
        try:
            with self._place():
                run_id = self._store.add_run(
                    spec.model_dump(mode="json"),
                    label=spec.label,
                    note=spec.note,
                    model=destination.model,
                    server_id=claim.server_id if claim else None,
                    created_at=now(),
                )
                if claim:
                    claim.run_id = run_id
                with self._changed:
                    self._queue.append(LiveRun(run_id, spec, destination))
                    self._changed.notify_all()
        except BaseException:
            self._servers.release(claim)
            raise
        self._feed.touch(LAB)
        return run_id

    def live(self, run_id: int) -> LiveRun | None:
        """The run, while it is queued or running."""
        with self._changed:
            if self._current is not None and self._current.id == run_id:
                return self._current
            return next((run for run in self._queue if run.id == run_id), None)

    def is_busy(self) -> bool:
        """Whether a run is under way or waits for its turn."""
        with self._changed:
            return bool(self._current or self._queue)

    def before(self, run: LiveRun) -> int | None:
        """How many runs come before a queued one; None once it is its turn."""
        with self._changed:
            if run not in self._queue:
                return None
            return self._queue.index(run) + (self._current is not None)

    def unsaved(self, run_id: int) -> RunEnding | None:
        """How it ended, where the database does not know yet."""
        with self._changed:
            return self._unsaved.get(run_id)

    def cancel(self, run_id: int, reason: Reason = ASKED) -> None:
        """End a run soon; one that is over stays as it is."""
        run = self.live(run_id)
        if run is None:
            return
        run.stop(reason)
        with self._changed:
            if run not in self._queue:
                return  # it is under way: the thread `runs` sees the cancel
            self._queue.remove(run)
        self._end(run, RunEnding("cancelled", now(), reason))

    def wait(self, run_id: int, timeout_s: float) -> None:
        """Block until the run is over, or the time is."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.live(run_id) is None, timeout_s)

    def touch(self, run_id: int) -> None:
        """Something about this run has changed."""
        self._feed.touch(run_topic(run_id))
        self._feed.touch(LAB)

    def begin_close(self) -> None:
        """Cancel everything, without waiting."""
        with self._changed:
            self._closed = True
            runs = [*self._queue, *([self._current] if self._current else [])]
            self._changed.notify_all()
        for run in runs:
            self.cancel(run.id, SHUTDOWN)

    def close(self) -> None:
        """Cancel everything and wait for the run in progress."""
        self.begin_close()
        self._thread.join(CLOSE_S)
        self._save_leftovers()

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """A place in the queue, held while the run is written down."""
        limit = self._settings.max_queued_runs
        with self._changed:
            if self._closed:
                raise Unavailable("the lab is closing")
            if len(self._queue) + self._promised >= limit and (self._current or self._queue):
                raise Quota("max_queued_runs", f"{limit} runs are waiting already")
            self._promised += 1
        try:
            yield
        finally:
            with self._changed:
                self._promised -= 1

    # --- the thread `runs` ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while run := self._next():
            self._save_leftovers()
            self._end(run, self._carried_out(run))

    def _next(self) -> LiveRun | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if self._closed:
                return None
            self._current = self._queue.popleft()
            return self._current

    def _carried_out(self, run: LiveRun) -> RunEnding:
        self._before_run()
        run.started_at = now()
        watchdog = threading.Timer(self._settings.max_run_s, run.stop, [self._time_limit()])
        watchdog.start()
        try:
            self._store.start_run(run.id, run.started_at)
            self.touch(run.id)
            with reached(run.destination, self._servers) as host:
                run.begin(host)
                self.touch(run.id)
                result = self._measured(run, host)
                run.report()
                self.touch(run.id)
                info = described(run.destination, host, self._servers)
            return self._ending(run, info, result)
        except (StorageFull, Unavailable) as problem:
            return RunEnding("failed", now(), Reason(code="storage", detail=problem.detail))
        except CouldNotServe as error:
            return RunEnding("failed", now(), Reason(code=error.code, detail=str(error)))
        except Exception:
            log.exception("run %d broke", run.id)
            return RunEnding("failed", now(), Reason(code="internal", detail="the lab's own log says what went wrong"))
        finally:
            watchdog.cancel()
            watchdog.join()

    def _measured(self, run: LiveRun, host: ServerHost | None) -> RunResult:
        path = self._work_dir / f"run-{run.id}.json"

        def on_progress(progress: Progress) -> None:
            run.take(progress)
            self.touch(run.id)

        try:
            return execute(
                host,
                run.spec.load(),
                result_path=path,
                cancel=run.cancel,
                on_progress=on_progress,
                address=run.destination.target,
            )
        finally:
            path.unlink(missing_ok=True)

    def _ending(self, run: LiveRun, server: ServerInfo, result: RunResult) -> RunEnding:
        """The state that follows from the result, and the report that goes with it."""
        ended_at = now()
        state, reason = result.outcome, None
        if result.outcome == "failed":
            reason = Reason(code=result.failure or "failed", detail=result.failure_detail or "")
        elif result.outcome == "cancelled":
            reason = run.cancelled_because or ASKED
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
        """Write its end down, then let everybody know: `completed` means that the report is there."""
        kept = self._saved(run.id, ending)
        with self._changed:
            if kept is not None:
                self._unsaved[run.id] = kept
            if self._current is run:
                self._current = None
            self._servers.release(run.claim)
            self._changed.notify_all()
        self.touch(run.id)

    def _saved(self, run_id: int, ending: RunEnding) -> RunEnding | None:
        """None once it is in the database; otherwise the failure that must be shown, and stored when that works."""
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
            "failed", ending.at, Reason(code="storage", detail=f"its result could not be stored: {detail}")
        )
        try:
            self._store.end_run(run_id, failed)  # a row takes less room than a report
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
