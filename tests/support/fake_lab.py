"""Lab with hand-written servers and runs, so that the content of its pages is known and no server is started."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from coreserver.clock import now_ns
from coreserver.config.server import ServerOptions
from coreserver.models import MODELS
from coreserver.records.client import ClientOutcome, ClientRecord, LoadResult, MessageRecord
from coreserver.records.joined import JoinedConnection
from coreserver.records.run_result import RunResult
from coreserver.records.samples import Sample
from coreserver.records.server import ConnectionRecord, Event, ServerOutcome
from coreserver.reports.build import RunInfo, ServerInfo, build_report
from coreserver.reports.schema.report import Report
from coreserver.reports.timeline_rows import TimelineRow, timeline_rows
from tests.support.made_records import ENVIRONMENT, run_config
from webapp.lab.change_feed import Feed
from webapp.lab.lab import Lab
from webapp.lab.run_results import RunResults
from webapp.lab.runs import Runs
from webapp.lab.server_snapshot import Look, Seen
from webapp.lab.servers import Servers
from webapp.problems import Conflict, NoResult, NotFound, Problem
from webapp.schemas.resources import (
    AddressResource,
    Reason,
    RunFilter,
    RunList,
    RunPatch,
    RunResource,
    ServerResource,
    ServerStats,
)
from webapp.schemas.run_progress import RunHistory, RunProgress
from webapp.schemas.run_spec import RunSpec
from webapp.settings import Settings

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MS = 1_000_000
PHASES = ("due", "connecting", "waiting", "in_service", "completed", "failed")

ORIGIN = "http://127.0.0.1:8000"
BROWSER = {"Accept": "text/html", "Origin": ORIGIN}


def article_connections(workers: int = 2, clients: int = 3, name: str = "conn") -> list[JoinedConnection]:
    """Return the article's clients against a pool: each is served for 2.2 s, the others wait in the queue."""
    free_at = [0] * workers
    joined = []
    for number in range(1, clients + 1):
        worker = min(range(workers), key=free_at.__getitem__)
        started = free_at[worker] + MS
        ended = free_at[worker] = started + 2_200 * MS
        messages = [
            MessageRecord(due_ns=0, sent_ns=started + MS, replied_ns=started + 2 * MS),
            MessageRecord(due_ns=started + 1_000 * MS, sent_ns=started + 1_000 * MS, replied_ns=started + 1_001 * MS),
        ]
        client = ClientRecord(
            f"{name}{number}", "script", 0, 0, MS // 2, started, ended, ClientOutcome.COMPLETED, messages=messages
        )
        server = ConnectionRecord(
            number,
            ("127.0.0.1", 40_000 + number),
            MS // 2,
            started,
            ended,
            f"worker-{worker + 1}",
            ServerOutcome.COMPLETED,
        )
        joined.append(JoinedConnection(client, server))
    return joined


def report_of(run: RunResource, connections: list[JoinedConnection]) -> Report:
    """Return the report that `build_report` makes of these connections."""
    ended = max(connection.client.closed_ns or 0 for connection in connections)
    load = LoadResult(0, NOON.timestamp(), ended, 0.01, [connection.client for connection in connections])
    result = RunResult(load, connections, 0, 0, [], 0, "completed")
    config, created_at = run_config(**run.config | {"label": ""}), NOON.isoformat(timespec="milliseconds")
    info = RunInfo(run.id, "", "", 0, config, created_at, None, None, "completed")
    server = ServerInfo(model=run.model, config=run.config["server"])
    report = build_report(info, result, server, ENVIRONMENT)
    # Like the lab: with the current label and note, without validation.
    return report.model_copy(update={"run": report.run.model_copy(update={"label": run.label, "note": run.note})})


class FakeLab(Lab):
    """Lab that holds the servers and runs that a test adds, and raises the refusal that a test sets."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.servers = FakeServers(self)
        self.runs = FakeRuns(self)
        self.results = FakeResults(self)
        self.feed = Feed()
        self.all_servers: dict[int, ServerResource] = {}
        self.all_runs: dict[int, RunResource] = {}
        self.joined: dict[int, list[JoinedConnection]] = {}
        self.open: list[ConnectionRecord] = []
        self.ended: list[ConnectionRecord] = []
        self.samples: list[Sample] = []
        self.happened: list[Event] = []
        self.details: dict[str, str] = {}
        self.logs: dict[int, str] = {}
        self.refusal: Problem | None = None

    # --- for tests -----------------------------------------------------------------------------------------------

    def add_server(self, model: str = "bounded_pool", state: str = "listening", **options: Any) -> ServerResource:
        """Add a server and return it."""
        config = MODELS[model].Config.model_validate({"model": model, **options})
        return self.add_configured_server(config, state)

    def add_run(
        self, state: str = "completed", label: str = "", connections: Iterable[JoinedConnection] = (), **changes: Any
    ) -> RunResource:
        """Add a run and return it; with `connections` it has a report of them."""
        number = len(self.all_runs) + 1
        joined = list(connections)
        config = {
            "label": label,
            "note": "",
            "seed": 0,
            "server": {"model": "bounded_pool", "workers": 2, "work": {"kind": "none"}},
            "clients": [{"kind": "script", "name": "script", "count": len(joined) or 3, "script": "article"}],
        }
        run = RunResource(
            id=number,
            state=state,
            label=label,
            note="",
            model="bounded_pool",
            server_id=None,
            created_at=NOON + timedelta(minutes=number),
            started_at=None if state == "queued" else NOON,
            ended_at=None,
            progress=RunProgress(elapsed_s=1.25, counts=dict.fromkeys(PHASES, 1)) if state == "running" else None,
            verdict=None,
            sentence=None,
            totals=None,
            reason=None,
            config=config,
            links={},
        )
        if joined:
            report = report_of(run, joined)
            found = {"verdict": report.verdict, "totals": report.totals, "sentence": report.run.sentence}
            run = run.model_copy(update=found)
        self.joined[number] = joined
        self.all_runs[number] = run.model_copy(update=changes)
        return self.all_runs[number]

    def add_configured_server(self, config: ServerOptions, state: str) -> ServerResource:
        number = len(self.all_servers) + 1
        stats = ServerStats(
            accepted=7, waiting=1, in_service=2, outcomes={"completed": 4, "reset": 0}, events={}, threads_alive=3,
            threads_busy=2, queue_depth=1, accept_queue=0,
        )  # fmt: skip
        is_up = state == "listening"
        server = ServerResource(
            id=number,
            name=config.name or f"server-{number}",
            state=state,
            reason=None if is_up else Reason(code="port_in_use", detail="its port is taken"),
            model=config.model,
            pid=4242 if is_up else None,
            address=AddressResource(host="127.0.0.1", port=9000 + number) if is_up else None,
            config=config.model_dump(mode="json"),
            created_at=NOON,
            stats=stats if is_up else None,
            run_ids=[],
            links={},
        )
        self.all_servers[number] = server
        return server

    def close(self) -> None:
        pass

    def refuse(self) -> None:
        """Raise the refusal that the test has set, if any."""
        if self.refusal is not None:
            raise self.refusal


class FakeServers(Servers):
    """The servers of a fake lab."""

    def __init__(self, lab: FakeLab) -> None:
        self._lab = lab

    def create(self, config: ServerOptions) -> ServerResource:
        self._lab.refuse()
        return self._lab.add_configured_server(config, "listening")

    def all(self) -> list[ServerResource]:
        return list(self._lab.all_servers.values())

    def get(self, server_id: int) -> ServerResource:
        if server_id not in self._lab.all_servers:
            raise NotFound("there is no such server")
        return self._lab.all_servers[server_id]

    def look(self, server_id: int, seen: Seen) -> Look:
        lab = self._lab
        return Look(
            at_ns=now_ns(),
            server=self.get(server_id),
            life=lab,
            details=lab.details,
            open=tuple(replace(record) for record in lab.open),
            ended=tuple(lab.ended),
            samples=tuple(lab.samples),
            events=tuple(lab.happened),
        )

    def start(self, server_id: int) -> ServerResource:
        return self._change_state(server_id, "listening")

    def stop(self, server_id: int, drain_s: float = 0.0) -> ServerResource:
        return self._change_state(server_id, "stopped")

    def delete(self, server_id: int) -> None:
        self._lab.refuse()
        del self._lab.all_servers[server_id]

    def _change_state(self, server_id: int, state: str) -> ServerResource:
        self._lab.refuse()
        self._lab.all_servers[server_id] = self.get(server_id).model_copy(update={"state": state})
        return self._lab.all_servers[server_id]


class FakeRuns(Runs):
    """The runs of a fake lab."""

    def __init__(self, lab: FakeLab) -> None:
        self._lab = lab

    def create(self, spec: RunSpec) -> RunResource:
        self._lab.refuse()
        run = self._lab.add_run("queued", spec.label)
        return self._change(run.id, {"config": spec.model_dump(mode="json")})

    def find(self, which: RunFilter | None = None) -> RunList:
        which = which or RunFilter()
        newest = sorted(self._lab.all_runs.values(), key=lambda run: -run.id)
        found = [run for run in newest if which.state in (None, run.state) and (which.label or "") in run.label]
        found = [run for run in found if which.server_id in (None, run.server_id)]
        before = int(which.cursor) if which.cursor else 2**53
        found = [run for run in found if run.id < before]
        page = found[: which.limit]
        return RunList(runs=page, next_cursor=str(page[-1].id) if len(found) > len(page) else None)

    def get(self, run_id: int) -> RunResource:
        if run_id not in self._lab.all_runs:
            raise NotFound("there is no such run")
        return self._lab.all_runs[run_id]

    def edit(self, run_id: int, patch: RunPatch) -> RunResource:
        return self._change(run_id, patch.model_dump(exclude_none=True))

    def cancel(self, run_id: int) -> RunResource:
        return self._change(run_id, {"state": "cancelled"})

    def delete(self, run_id: int) -> None:
        if not self.get(run_id).is_over:
            raise Conflict("it is still running; cancel it first")
        del self._lab.all_runs[run_id]

    def history(self, run_id: int) -> RunHistory | None:
        return None

    def is_running(self, run_id: int) -> bool:
        return self.get(run_id).state == "running"

    def timeline(self, run_id: int) -> tuple[list[TimelineRow], float | None]:
        return timeline_rows(self._lab.joined[run_id], 0), None

    def _change(self, run_id: int, changes: dict[str, Any]) -> RunResource:
        self._lab.all_runs[run_id] = self.get(run_id).model_copy(update=changes)
        return self._lab.all_runs[run_id]


class FakeResults(RunResults):
    """The results of a fake lab's runs."""

    def __init__(self, lab: FakeLab) -> None:
        self._lab = lab

    def report(self, run_id: int) -> Report:
        run = self._lab.runs.get(run_id)
        if not self._lab.joined[run_id]:
            raise NoResult("it ended without a report")
        return report_of(run, self._lab.joined[run_id])

    def log(self, run_id: int) -> str:
        return self._lab.logs.get(run_id, "INFO:2026-03-01 12:00:00,000:conn1 connected...\n")


def in_service(number: int, worker: str) -> ConnectionRecord:
    """Return a connection that `worker` has served for a second and a half."""
    now = now_ns()
    return ConnectionRecord(number, ("127.0.0.1", 50_000 + number), now - 2_000 * MS, now - 1_500 * MS, worker=worker)


def waiting(number: int) -> ConnectionRecord:
    """Return a connection that was accepted half a second ago and has no worker yet."""
    return ConnectionRecord(number, ("127.0.0.1", 50_000 + number), now_ns() - 500 * MS)
