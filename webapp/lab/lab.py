"""The servers and runs in progress: start, watch, cancel. The sole owner of background work in the control plane.

Every method may be called by any thread; those that start or stop a server, or wait, block. Refusals are raised as
`webapp.problems.Problem`: NotFound, Conflict, Invalid, Quota, Unavailable or StorageFull.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coreserver.config.server import ServerOptions
from coreserver.models.c_threads import cache_dir
from coreserver.records.codec import decode_connections
from coreserver.records.joined import JoinedConnection
from coreserver.reports.article_log import article_log
from coreserver.reports.connection_rows import connections_rows
from coreserver.reports.environment import describe_machine
from coreserver.reports.timeline_rows import TimelineRow
from webapp.charts import CHARTS
from webapp.charts.rendering.renderer import ChartRenderer
from webapp.lab import model_catalog
from webapp.lab.change_feed import Feed
from webapp.lab.limits import refuse_load
from webapp.lab.run_queue import Runner
from webapp.lab.server_snapshot import Look, Seen
from webapp.lab.servers import Servers
from webapp.problems import Conflict, NoResult, NotFound
from webapp.schemas.resources import (
    ModelResource,
    Reason,
    RunFilter,
    RunList,
    RunPatch,
    RunResource,
    RunSpec,
    ServerResource,
    Verdict,
)
from webapp.schemas.run_progress import RunHistory
from webapp.settings import Settings
from webapp.storage.run_files import Imported, Records
from webapp.storage.store import Ending, Result, RunRow, Store
from webapp.storage.timeline_cache import RunRows
from webapp.timeline.drawing import WIDE, responsive
from webapp.timeline.explorer import WHOLE, TimelinePicture, TimelineQuery, part_of, picture


class Lab:
    """Servers, runs, and what is stored of both."""

    def __init__(self, settings: Settings, store: Store) -> None:
        """Take over the store: runs that a dead lab left unfinished are interrupted before anybody can ask."""
        self.settings = settings
        self.feed = Feed()
        self._store = store
        store.interrupt_unfinished()
        self._servers = Servers(settings, store, self.feed)
        self.charts = ChartRenderer(
            settings.data_dir / "charts", cache_dir() / "charts", lambda: self._runner.is_busy()
        )
        self._runner = Runner(settings, store, self._servers, self.feed, before_run=self.charts.end_process)
        self._rows = RunRows(store)

    def begin_close(self) -> None:
        """End streams and runs, without waiting."""
        self.feed.close()
        self._runner.begin_close()

    def close(self) -> None:
        """End all background work and give the store back; bounded, for stopping a server is."""
        self.feed.close()
        self._runner.close()
        self.charts.close()
        self._servers.close()
        self._store.close()

    # --- models --------------------------------------------------------------------------------------------------

    def models(self) -> list[ModelResource]:
        """Every model, in the order they are taught."""
        return model_catalog.all_models()

    def model(self, name: str) -> ModelResource:
        """One model, or NotFound."""
        return model_catalog.one_model(name)

    # --- servers -------------------------------------------------------------------------------------------------

    def create_server(self, config: ServerOptions) -> ServerResource:
        """Start a server; it is listed only if that worked. Conflict (field `port` or `name`), Quota, Unavailable."""
        return self._servers.create(config)

    def servers(self) -> list[ServerResource]:
        """Every server, oldest first, stopped ones too."""
        return self._servers.all()

    def server(self, server_id: int) -> ServerResource:
        """One server, or NotFound."""
        return self._servers.one(server_id)

    def look(self, server_id: int, seen: Seen) -> Look:
        """Whom a server serves, who waits, and what has happened in its present or last life that was not seen yet."""
        return self._servers.look(server_id, seen)

    def start_server(self, server_id: int) -> ServerResource:
        """Start a stopped or failed one; Conflict when it is up, or its port is taken (then it stays stopped)."""
        return self._servers.start(server_id)

    def stop_server(self, server_id: int, drain_s: float = 0.0) -> ServerResource:
        """Stop it, letting what is in flight finish for `drain_s`; stopping a stopped one does nothing."""
        return self._servers.stop(server_id, drain_s)

    def delete_server(self, server_id: int) -> None:
        """Stop and forget it; Conflict while a queued or running run uses it."""
        self._servers.delete(server_id)

    # --- runs ----------------------------------------------------------------------------------------------------

    def create_run(self, spec: RunSpec) -> RunResource:
        """Queue a run; Conflict when its server is not listening, NotFound, Invalid (it would last too long), Quota.

        A name in its server's address is resolved here, which may take a while.
        """
        refuse_load(spec, self.settings)
        return self.run(self._runner.submit(spec))

    def runs(self, which: RunFilter | None = None) -> RunList:
        """One page of the runs that match, newest first unless asked otherwise."""
        rows, next_cursor = self._store.runs(which or RunFilter())
        return RunList(runs=[self._resource(row) for row in rows], next_cursor=next_cursor)

    def run(self, run_id: int) -> RunResource:
        """One run as it is now, or NotFound."""
        return self._resource(self._store.run(run_id))

    def patch_run(self, run_id: int, patch: RunPatch) -> RunResource:
        """Change its label or note."""
        self._store.patch_run(run_id, patch)
        self._runner.touch(run_id)
        return self.run(run_id)

    def cancel_run(self, run_id: int) -> RunResource:
        """End it soon, keeping what was gathered; cancelling one that has ended does nothing."""
        self._store.run(run_id)
        self._runner.cancel(run_id)
        return self.run(run_id)

    def delete_run(self, run_id: int) -> None:
        """Forget it; Conflict while it is queued or running."""
        self._store.run(run_id)
        if self._runner.live(run_id):
            raise Conflict(f"run {run_id} is not over; cancel it first")
        self._store.delete_run(run_id)
        self._runner.touch(run_id)

    def wait_run(self, run_id: int, timeout_s: float) -> RunResource:
        """Block until it has ended or the time is over; the run as it is then."""
        self._store.run(run_id)
        self._runner.wait(run_id, timeout_s)
        return self.run(run_id)

    def report(self, run_id: int) -> dict[str, Any]:
        """Its report under its id in this lab; Conflict before it has ended, NotFound where it ended without one."""
        report = self.original_report(run_id)
        report["run"]["id"] = run_id
        return report

    def original_report(self, run_id: int) -> dict[str, Any]:
        """The same as the lab that made it wrote it, the id of the run included; the label and note are of today."""
        row = self._store.run(run_id)
        report = self._result(row).report
        report["run"] |= {"label": row.label, "note": row.note}
        return report

    def compared(self, run_ids: Sequence[int]) -> list[dict[str, Any]]:
        """The reports of runs that are to stand side by side, under the ids that they have here.

        Raises:
            NotFound: there is no such run.
            Conflict: one of them has no report: it is not over, or ended without.
        """
        try:
            return [self.report(run_id) for run_id in run_ids]
        except NoResult as problem:
            raise Conflict(f"{problem.detail}; leave it out of the comparison") from None

    def connections(self, run_id: int) -> list[dict[str, Any]]:
        """Every connection, in the shape of `schemas.ConnectionRow`; Conflict and NotFound as for the report."""
        joined, started_ns = self.joined_connections(run_id)
        return connections_rows(joined, started_ns)

    def joined_connections(self, run_id: int) -> tuple[list[JoinedConnection], int]:
        """The records of both sides of every connection, and the run's start on their clock.

        NotFound: it was imported, and they were not in the file.
        """
        result = self._result(self._store.run(run_id))
        if not result.connections:
            raise _no_records(run_id)
        return decode_connections(result.connections), result.started_ns

    def log(self, run_id: int) -> str:
        """The clients' log as the article prints it; Conflict and NotFound as for the report."""
        result = self._result(self._store.run(run_id))
        if not result.connections:
            raise _no_records(run_id)
        clients = (row.connection.client for row in self._rows.of(run_id) if row.connection)
        return article_log(clients, started_ns=result.started_ns, started_wall_s=result.started_wall_s)

    def exported(self, run_id: int) -> tuple[dict[str, Any], Records | None]:
        """The report and the records that bring the run back whole; Conflict and NotFound as for the report."""
        result = self._result(self._store.run(run_id))
        records = Records(result.started_ns, result.started_wall_s, result.connections) if result.connections else None
        return self.original_report(run_id), records

    def import_run(self, found: Imported) -> RunResource:
        """Keep a run that came as a file; StorageFull, Unavailable: nothing of it was kept."""
        run, records = found.report["run"], found.records
        reason = Reason(code=run["failure"], detail=run["failure_detail"] or "") if run["failure"] else None
        result = Result(
            started_ns=records.started_ns if records else 0,
            started_wall_s=records.started_wall_s if records else 0.0,
            report=found.report,
            connections=records.connections if records else b"",
        )
        version = found.report["environment"]["versions"].get("serverlab")
        origin = {"run_id": run["id"], "version": version, "has_records": records is not None}
        run_id = self._store.import_run(found.config, Ending(run["state"], run["ended_at"], reason, result), origin)
        self._runner.touch(run_id)
        return self.run(run_id)

    def run_counts(self) -> dict[tuple[str, str], int]:
        """How many runs there are by state and verdict."""
        return self._store.run_counts()

    def history(self, run_id: int) -> RunHistory | None:
        """What has happened in a running one so far; None of any other."""
        live = self._runner.live(run_id)
        return live.history() if live else None

    def timeline_rows(self, run_id: int) -> list[TimelineRow]:
        """What the timeline draws: live while it runs, final afterwards, empty before and where nothing was kept."""
        return self.timeline(run_id)[0]

    def timeline(self, run_id: int) -> tuple[list[TimelineRow], float | None]:
        """The rows, and while it runs the seconds since its start."""
        self._store.run(run_id)
        if live := self._runner.live(run_id):
            return live.timeline()
        return self._rows.of(run_id), None

    def timeline_svg(self, run_id: int, query: TimelineQuery = WHOLE, *, embedded: bool = False) -> str:
        """The timeline of this instant, or a part of it; as a file, or for a page, which brings style and paper.

        Invalid where there is no such part.
        """
        return self._drawn(run_id, query, embedded=embedded, lanes=False)

    def lanes_svg(self, run_id: int, query: TimelineQuery = WHOLE, *, embedded: bool = False) -> str:
        """What each worker did; otherwise as `timeline_svg`."""
        return self._drawn(run_id, query, embedded=embedded, lanes=True)

    def timeline_picture(self, run_id: int, query: TimelineQuery, *, lanes: bool = False) -> TimelinePicture:
        """A part of the timeline, or of the worker lanes, for a page that explores it; Invalid as above."""
        return picture(*self.timeline(run_id), query, lanes=lanes, title=self._chart_title(run_id))

    # --- the machine ---------------------------------------------------------------------------------------------

    def machine(self) -> dict[str, Any]:
        """The environment as reports describe it."""
        return describe_machine()

    # --- below, how answers are made -----------------------------------------------------------------------------

    def _drawn(self, run_id: int, query: TimelineQuery, *, embedded: bool, lanes: bool) -> str:
        scene = part_of(*self.timeline(run_id), query, lanes=lanes)
        title = self._chart_title(run_id)
        return responsive(scene, title) if embedded else scene.paint(width=WIDE, title=title, embedded=False)

    def _chart_title(self, run_id: int) -> str:
        row = self._store.run(run_id)
        return f"Run {row.id}: {row.label or row.model}"

    def _result(self, row: RunRow) -> Result:
        if self._runner.live(row.id):
            raise Conflict(f"run {row.id} is {row.state}; there is a result when it has ended")
        result = self._store.result(row.id)
        if result is None:
            raise NoResult(f"run {row.id} ended as {row.state} without a result")
        return result

    def _resource(self, row: RunRow) -> RunResource:
        live = self._runner.live(row.id)
        ending = self._runner.unsaved(row.id)
        outline = row.outline or {}
        path = f"/api/v1/runs/{row.id}"
        names = ("report", "report.json", "report.html", "connections", "log", "histogram", "trace", "events", "cancel")
        charts = {f"chart_{name}": f"{path}/charts/{name}.json" for name in CHARTS}
        return RunResource.model_validate(
            {
                "id": row.id,
                "state": ending.state if ending else row.state,
                "label": row.label,
                "note": row.note,
                "model": row.model,
                "server_id": row.server_id,
                "created_at": row.created_at,
                "started_at": row.started_at,
                "ended_at": ending.at if ending else row.ended_at,
                "stage": live.stage(self._runner.before(live)) if live else None,
                "progress": live.progress() if live else None,
                "verdict": Verdict(**outline["verdict"]) if outline else None,
                "sentence": outline.get("sentence"),
                "totals": outline.get("totals"),
                "response_p50_ms": row.response_p50_ms,
                "response_p99_ms": row.response_p99_ms,
                "reason": ending.reason if ending else row.reason,
                "config": row.config,
                "imported": row.imported_at is not None,
                "imported_at": row.imported_at,
                "imported_from": row.imported_from,
                "links": {"self": path, "page": f"/runs/{row.id}", "timeline": f"{path}/charts/timeline.svg"}
                | {name.replace(".", "_"): f"{path}/{name}" for name in names}
                | charts,
            }
        )


def _no_records(run_id: int) -> NotFound:
    return NotFound(f"run {run_id} was imported from a report alone: its connections were not in the file")
