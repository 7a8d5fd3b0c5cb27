"""Runs of the lab: create, list, edit, cancel, delete, import. A run is queued, in progress or stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coreserver.reports.timeline_rows import TimelineRow
from webapp.lab.change_feed import Feed
from webapp.lab.limits import check_load
from webapp.lab.live_run import LiveRun
from webapp.lab.run_queue import RunQueue
from webapp.lab.servers import Servers
from webapp.problems import Conflict
from webapp.schemas.resources import Reason, RunFilter, RunList, RunPatch, RunResource
from webapp.schemas.run_progress import RunHistory
from webapp.schemas.run_spec import RunSpec
from webapp.settings import Settings
from webapp.storage.run_files import Imported
from webapp.storage.store import Result, RunEnding, Store, StoredRun
from webapp.storage.timeline_cache import RunRows

FILES = ("report", "report.json", "report.html", "connections", "log", "histogram", "trace", "events", "cancel")


class Runs:
    """All runs of the lab: queued, in progress and stored.

    Any thread may call any method. This class has no lock: `RunQueue` guards the runs that have not ended, and `Store`
    the others. `create` blocks while it resolves the host name of an external server, `close` while the run in progress
    ends; the other methods wait for the database at most.

    Methods with a `run_id` raise NotFound for an unknown run, except `history` and the predicates. Every method that
    uses the database can raise StorageFull or Unavailable.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        servers: Servers,
        feed: Feed,
        *,
        before_run: Callable[[], None],
        chart_names: Sequence[str],
    ) -> None:
        self._settings, self._store, self._chart_names = settings, store, tuple(chart_names)
        self._queue = RunQueue(settings, store, servers, feed, before_run=before_run)
        self._rows = RunRows(store)

    def create(self, spec: RunSpec) -> RunResource:
        """Queue a run and return it without waiting for it.

        Raises:
            NotFound, Conflict: its server does not exist or is not listening.
            Invalid: it would last too long or use too many connections, or its address is not allowed.
            Quota: the queue is full, or the server of the run would exceed a limit of the lab.
        """
        check_load(spec, self._settings)
        return self.get(self._queue.submit(spec))

    def find(self, which: RunFilter | None = None) -> RunList:
        """Return one page of the matching runs, newest first by default."""
        rows, next_cursor = self._store.find_runs(which or RunFilter())
        return RunList(runs=[self._resource(row) for row in rows], next_cursor=next_cursor)

    def get(self, run_id: int) -> RunResource:
        """Return the run as it is now."""
        return self._resource(self._store.get_run(run_id))

    def edit(self, run_id: int, patch: RunPatch) -> RunResource:
        """Change the label or the note."""
        self._store.patch_run(run_id, patch)
        self._queue.touch(run_id)
        return self.get(run_id)

    def cancel(self, run_id: int) -> RunResource:
        """Cancel the run and keep its records. A run in progress ends after the return. No effect on an ended run."""
        self._store.get_run(run_id)
        self._queue.cancel(run_id)
        return self.get(run_id)

    def delete(self, run_id: int) -> None:
        """Delete the run and its records; Conflict while it is queued or running."""
        self._store.get_run(run_id)
        if self._queue.live(run_id):
            raise Conflict(f"run {run_id} has not ended; cancel it first")
        self._store.delete_run(run_id)
        self._queue.touch(run_id)

    def import_file(self, found: Imported) -> RunResource:
        """Store a run that was read from a file, under a new id."""
        run, records = found.report.run, found.records
        reason = Reason(code=run.failure, detail=run.failure_detail or "") if run.failure else None
        result = Result(
            started_ns=records.started_ns if records else 0,
            started_wall_s=records.started_wall_s if records else 0.0,
            report=found.report,
            connections=records.connections if records else b"",
        )
        version = found.report.environment.versions.get("serverlab")
        origin = {"run_id": run.id, "version": version, "has_records": records is not None}
        run_id = self._store.import_run(found.config, RunEnding(run.state, run.ended_at, reason, result), origin)
        self._queue.touch(run_id)
        return self.get(run_id)

    def counts(self) -> dict[tuple[str, str], int]:
        """Return the number of runs per state and verdict."""
        return self._store.count_runs()

    def is_busy(self) -> bool:
        """Whether a run is queued or in progress."""
        return self._queue.is_busy()

    def is_live(self, run_id: int) -> bool:
        """Whether this run is queued or in progress; false for an unknown one."""
        return self._queue.live(run_id) is not None

    def is_running(self, run_id: int) -> bool:
        """Whether this run has started and has not ended; false for an unknown one. Reads no database."""
        live = self._queue.live(run_id)
        return live is not None and live.started_at is not None

    def history(self, run_id: int) -> RunHistory | None:
        """Return the figures of a run in progress since its start; None for any other run."""
        live = self._queue.live(run_id)
        return live.history() if live else None

    def timeline(self, run_id: int) -> tuple[list[TimelineRow], float | None]:
        """Return the rows of the timeline, and the seconds since the start of a run in progress.

        A run that has not begun, or has no records, has no rows.
        """
        self._store.get_run(run_id)
        if live := self._queue.live(run_id):
            return live.timeline()
        return self._rows.of(run_id), None

    def begin_close(self) -> None:
        """Cancel all queued and running runs, without waiting."""
        self._queue.begin_close()

    def close(self) -> None:
        """Cancel all queued and running runs and wait for the one in progress."""
        self._queue.close()

    @staticmethod
    def _state(row: StoredRun, live: LiveRun | None, ending: RunEnding | None) -> str:
        """Return the state to show: a run whose end is stored has not ended before its results can be read."""
        if live is not None and row.state not in ("queued", "running"):
            return "running"
        return ending.state if ending else row.state

    def _resource(self, row: StoredRun) -> RunResource:
        live, ending = self._queue.live(row.id), self._queue.unsaved(row.id)
        outline = row.outline or {}
        return RunResource.model_validate(
            {
                "id": row.id,
                "state": self._state(row, live, ending),
                "label": row.label,
                "note": row.note,
                "model": row.model,
                "server_id": row.server_id,
                "created_at": row.created_at,
                "started_at": row.started_at,
                "ended_at": ending.at if ending else row.ended_at,
                **self._progress(live),
                "verdict": outline.get("verdict"),
                "sentence": outline.get("sentence"),
                "totals": outline.get("totals"),
                "response_p50_ms": row.response_p50_ms,
                "response_p99_ms": row.response_p99_ms,
                "reason": ending.reason if ending else row.reason,
                "config": row.config,
                "imported": row.imported_at is not None,
                "imported_at": row.imported_at,
                "imported_from": row.imported_from,
                "links": self._links(row.id),
            }
        )

    def _progress(self, live: LiveRun | None) -> dict[str, object]:
        if live is None:
            return {"stage": None, "progress": None}
        return {"stage": live.stage(self._queue.before(live)), "progress": live.progress()}

    def _links(self, run_id: int) -> dict[str, str]:
        path = f"/api/v1/runs/{run_id}"
        return {
            "self": path,
            "page": f"/runs/{run_id}",
            "timeline": f"{path}/charts/timeline.svg",
            **{name.replace(".", "_"): f"{path}/{name}" for name in FILES},
            **{f"chart_{name}": f"{path}/charts/{name}.json" for name in self._chart_names},
        }
