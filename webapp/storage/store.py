"""Persistence in SQLite: servers, runs and results. One method per query."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection, Row
from typing import Any

from pydantic import ValidationError

from coreserver.errors import ReportTooNew
from coreserver.reports.schema.definitions import SCHEMA_VERSION
from coreserver.reports.schema.report import Report
from coreserver.reports.schema.upgrades import upgrade
from webapp.problems import NotFound, UnreadableReport
from webapp.schemas.resources import Reason, RunFilter, RunPatch
from webapp.storage.database import Database
from webapp.storage.run_queries import select_page

FILE_NAME = "serverlab.sqlite3"


def now() -> str:
    """Return the current time of day in the stored form: ISO 8601 in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class StoredServer:
    """A server of the lab, listening or stopped."""

    id: int
    name: str
    config: dict[str, Any]
    created_at: str


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run without its result. `outline` has the `verdict`, `sentence` and `totals` of the report, if there is one."""

    id: int
    state: str
    label: str
    note: str
    model: str
    server_id: int | None
    config: dict[str, Any]
    created_at: str
    started_at: str | None
    ended_at: str | None
    reason: Reason | None
    outline: dict[str, Any] | None
    response_p50_ms: float | None
    response_p99_ms: float | None
    imported_at: str | None
    imported_from: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run: its report, and its records as `coreserver.records.codec` encodes them.

    `connections` is empty if an imported file had only the report.
    """

    started_ns: int
    started_wall_s: float
    report: Report
    connections: bytes


@dataclass(frozen=True, slots=True)
class RunEnding:
    """The end of a run: its final state, and its result if it has one."""

    state: str
    at: str | None
    reason: Reason | None = None
    result: Result | None = None


class Store:
    """Servers, runs and results of one data directory.

    Any thread may call any method. A write blocks until it is on the disk; see `Database` for the locks. Every method
    can raise StorageFull or Unavailable, and then nothing was changed. `lock_data_dir` ensures that only one process
    uses a data directory at a time.

    Ids are never reused. A run is stored as queued, then running, then in one final state that does not change. Reports
    are upgraded to the current version when they are read and are not rewritten; records are not decoded here.
    """

    def __init__(self, data_dir: Path) -> None:
        """Open the database in `data_dir`; raises as `Database` does."""
        self._database = Database(data_dir / FILE_NAME)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # --- servers -------------------------------------------------------------------------------------------------

    def add_server(self, name: str, config: Mapping[str, Any], created_at: str) -> int:
        """Store a server and return its id."""
        with self._database.write() as db:
            cursor = db.execute(
                "INSERT INTO servers (name, config, created_at) VALUES (?, ?, ?)",
                (name, json.dumps(config), created_at),
            )
            return _require_id(cursor.lastrowid)

    def list_servers(self) -> list[StoredServer]:
        """Return every server, oldest first."""
        with self._database.read() as db:
            rows = db.execute("SELECT * FROM servers ORDER BY id").fetchall()
        return [StoredServer(row["id"], row["name"], json.loads(row["config"]), row["created_at"]) for row in rows]

    def delete_server(self, server_id: int) -> None:
        """Delete a server."""
        with self._database.write() as db:
            db.execute("DELETE FROM servers WHERE id = ?", (server_id,))

    # --- runs ----------------------------------------------------------------------------------------------------

    def add_run(
        self, config: Mapping[str, Any], *, label: str, note: str, model: str, server_id: int | None, created_at: str
    ) -> int:
        """Store a queued run and return its id."""
        with self._database.write() as db:
            cursor = db.execute(
                "INSERT INTO runs (state, label, note, model, server_id, config, created_at)"
                " VALUES ('queued', ?, ?, ?, ?, ?, ?)",
                (label, note, model, server_id, json.dumps(config), created_at),
            )
            return _require_id(cursor.lastrowid)

    def start_run(self, run_id: int, at: str) -> None:
        """Mark a queued run as running. Called before the run sends its first packet."""
        with self._database.write() as db:
            db.execute(
                "UPDATE runs SET state = 'running', started_at = ? WHERE id = ? AND state = 'queued'", (at, run_id)
            )

    def end_run(self, run_id: int, ending: RunEnding) -> None:
        """Store the end of a run, with its result if it has one. A run ends once; later calls change nothing."""
        packed = _pack(ending.result)
        with self._database.write() as db:
            _store_end(db, run_id, ending, packed)

    def import_run(self, config: Mapping[str, Any], ending: RunEnding, imported_from: Mapping[str, Any]) -> int:
        """Store an imported run and return its id.

        Args:
            config: the body that repeats the run in this lab; everything else is taken from the report.
        """
        assert ending.result is not None  # noqa: S101 - every imported run has a result
        run, model, packed = (
            ending.result.report.run,
            ending.result.report.server.model,
            _pack(ending.result),
        )
        with self._database.write() as db:
            cursor = db.execute(
                "INSERT INTO runs (state, label, note, model, config, created_at, started_at, imported_at,"
                " imported_from) VALUES ('running', ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(run.label, run.note, model, json.dumps(config)),
                    *(run.created_at, run.started_at, now(), json.dumps(imported_from)),
                ),
            )
            run_id = _require_id(cursor.lastrowid)
            _store_end(db, run_id, ending, packed)
        return run_id

    def count_runs(self) -> dict[tuple[str, str], int]:
        """Return the number of runs per state and verdict; the verdict is empty if there is none."""
        query = "SELECT state, verdict_status, count(*) FROM runs GROUP BY state, verdict_status"
        with self._database.read() as db:
            return {(state, verdict or ""): count for state, verdict, count in db.execute(query)}

    def interrupt_unfinished(self) -> int:
        """Mark runs that a killed lab left queued or running as interrupted, and return their number.

        The time of their end is unknown and stays empty.
        """
        with self._database.write() as db:
            return db.execute(
                "UPDATE runs SET state = 'interrupted', reason_code = 'lab_ended',"
                " reason_detail = 'the lab ended while this run was ' || state WHERE state IN ('queued', 'running')"
            ).rowcount

    def patch_run(self, run_id: int, patch: RunPatch) -> None:
        """Change the label or the note; NotFound if there is no such run."""
        with self._database.write() as db:
            changed = db.execute(
                "UPDATE runs SET label = coalesce(?, label), note = coalesce(?, note) WHERE id = ?",
                (patch.label, patch.note, run_id),
            ).rowcount
        if not changed:
            raise no_run(run_id)

    def delete_run(self, run_id: int) -> None:
        """Delete a run and its result."""
        with self._database.write() as db:
            db.execute("DELETE FROM runs WHERE id = ?", (run_id,))

    def get_run(self, run_id: int) -> StoredRun:
        """Return a run; NotFound if there is none."""
        with self._database.read() as db:
            row = db.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            raise no_run(run_id)
        return _read_run(row)

    def find_runs(self, which: RunFilter) -> tuple[list[StoredRun], str | None]:
        """Return one page of the matching runs and the cursor of the next page."""
        with self._database.read() as db:
            rows, next_cursor = select_page(db, which)
        return [_read_run(row) for row in rows], next_cursor

    def load_result(self, run_id: int) -> Result | None:
        """Return the report in its current shape and the encoded records, or None if the run ended without a result.

        Raises:
            UnreadableReport: the report is damaged, or a newer program wrote it.
        """
        with self._database.read() as db:
            row = db.execute("SELECT * FROM results WHERE run_id = ?", (run_id,)).fetchone()
        if row is None:
            return None
        report = _unpack(run_id, row["report"])
        return Result(row["started_ns"], row["started_wall_s"], report, row["connections"])


def no_run(run_id: int) -> NotFound:
    """Return the problem for a run that does not exist."""
    return NotFound(f"there is no run {run_id}")


def _require_id(rowid: int | None) -> int:
    assert rowid is not None  # noqa: S101 - for the type checker; it is set after every INSERT
    return rowid


def _pack(result: Result | None) -> bytes:
    """Return the stored form of the report. Called before the transaction, because other threads wait for that."""
    return zlib.compress(result.report.model_dump_json().encode()) if result else b""


def _unpack(run_id: int, packed: bytes) -> Report:
    try:
        return Report.model_validate(upgrade(json.loads(zlib.decompress(packed))))
    except ReportTooNew as error:
        raise UnreadableReport(f"the report of run {run_id} cannot be read: {error}") from error
    except ValidationError as error:
        place = ".".join(str(step) for step in error.errors()[0]["loc"])
        raise UnreadableReport(f"the report of run {run_id} cannot be read: {place} does not fit its schema") from error
    except (zlib.error, ValueError) as error:
        raise UnreadableReport(f"the report of run {run_id} cannot be read: it is damaged ({error})") from error


def _store_end(db: Connection, run_id: int, ending: RunEnding, packed: bytes) -> None:
    reason, result = ending.reason, ending.result
    outline = _make_outline(result.report) if result else None
    changed = db.execute(
        "UPDATE runs SET state = ?, ended_at = ?, reason_code = ?, reason_detail = ?, verdict_status = ?,"
        " outline = ?, duration_s = ?, throughput_messages_per_s = ?, response_p50_ms = ?, response_p99_ms = ?"
        " WHERE id = ? AND state IN ('queued', 'running')",
        (
            ending.state,
            ending.at,
            reason.code if reason else None,
            reason.detail if reason else None,
            outline["verdict"]["status"] if outline else None,
            json.dumps({"schema_version": SCHEMA_VERSION, **outline}) if outline else None,
            *_sort_figures(result.report if result else None),
            run_id,
        ),
    ).rowcount
    if changed and result:
        db.execute(
            "INSERT INTO results (run_id, started_ns, started_wall_s, report, connections) VALUES (?, ?, ?, ?, ?)",
            (run_id, result.started_ns, result.started_wall_s, packed, result.connections),
        )


def _read_run(row: Row) -> StoredRun:
    reason = Reason(code=row["reason_code"], detail=row["reason_detail"]) if row["reason_code"] else None
    return StoredRun(
        id=row["id"],
        state=row["state"],
        label=row["label"],
        note=row["note"],
        model=row["model"],
        server_id=row["server_id"],
        config=json.loads(row["config"]),
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        reason=reason,
        outline=_read_outline(row["outline"]) if row["outline"] else None,
        response_p50_ms=row["response_p50_ms"],
        response_p99_ms=row["response_p99_ms"],
        imported_at=row["imported_at"],
        imported_from=json.loads(row["imported_from"]) if row["imported_from"] else None,
    )


def _read_outline(text: str) -> dict[str, Any] | None:
    """Return the outline, upgraded like the report that it is a part of; None if a newer program wrote it."""
    try:
        outline = upgrade({"schema_version": 1, **json.loads(text)})  # the first programs stored no version in it
    except ReportTooNew:
        return None
    return {name: outline.get(name) for name in ("verdict", "sentence", "totals")}


def _make_outline(report: Report) -> dict[str, Any]:
    parts = {"verdict": report.verdict, "totals": report.totals}
    return {name: part.model_dump(mode="json") for name, part in parts.items()} | {"sentence": report.run.sentence}


def _sort_figures(report: Report | None) -> tuple[float | None, ...]:
    """Return the figures that lists are sorted by: duration, throughput, median and p99 response time."""
    if report is None:
        return (None,) * 4
    totals, response = report.totals, report.latency.response_ms
    return totals.duration_s, totals.throughput_messages_per_s, response.p50, response.p99
