"""The store: states of runs, pages of the list, failures of the disk, and files of other programs."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coreserver.reports.schema.report import Report
from tests.support.made_reports import report_of, visitors
from webapp.problems import Invalid, NotFound, StorageFull, Unavailable
from webapp.schemas.resources import Reason, RunFilter, RunPatch
from webapp.storage.database import Database, DatabaseError, migrations
from webapp.storage.store import FILE_NAME, Result, RunEnding, Store

AT = "2026-01-02T03:04:05.000+00:00"
REPORT = report_of(visitors(20))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(Store(tmp_path)) as opened:
        yield opened


def add(store: Store, label: str = "", model: str = "sequential") -> int:
    return store.add_run({}, label=label, note="", model=model, server_id=None, created_at=AT)


def completed(report: Report = REPORT) -> RunEnding:
    return RunEnding("completed", AT, result=Result(5, 6.5, report, b"connections"))


def test_run_passes_through_its_states(store: Store) -> None:
    run_id = add(store, "first")
    assert store.get_run(run_id).state == "queued"
    store.start_run(run_id, AT)
    assert store.get_run(run_id).state == "running"
    store.end_run(run_id, completed())
    row = store.get_run(run_id)
    assert (row.state, row.started_at, row.ended_at) == ("completed", AT, AT)
    assert row.outline == {
        "verdict": REPORT.verdict.model_dump(),
        "sentence": REPORT.run.sentence,
        "totals": REPORT.totals.model_dump(),
    }
    assert store.load_result(run_id) == Result(5, 6.5, REPORT, b"connections")


def test_run_ends_once(store: Store) -> None:
    run_id = add(store)
    store.end_run(run_id, RunEnding("cancelled", AT, Reason(code="cancelled", detail="asked")))
    store.end_run(run_id, completed())
    assert store.get_run(run_id).state == "cancelled"
    assert store.load_result(run_id) is None


def test_data_survive_reopening(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path)) as store:
        run_id, server_id = add(store, "kept"), store.add_server("pool", {"model": "sequential"}, AT)
    with contextlib.closing(Store(tmp_path)) as store:
        assert store.get_run(run_id).label == "kept"
        assert [row.id for row in store.list_servers()] == [server_id]


def test_unfinished_runs_become_interrupted(store: Store) -> None:
    queued, running, over = add(store), add(store), add(store)
    store.start_run(running, AT)
    store.end_run(over, completed())
    assert store.interrupt_unfinished() == 2
    assert [store.get_run(run_id).state for run_id in (queued, running, over)] == [
        "interrupted",
        "interrupted",
        "completed",
    ]
    reason = store.get_run(running).reason
    assert reason == Reason(code="lab_ended", detail="the lab ended while this run was running")


def test_ids_are_not_reused(store: Store) -> None:
    run_id, server_id = add(store), store.add_server("a", {}, AT)
    store.delete_run(run_id)
    store.delete_server(server_id)
    assert add(store) > run_id
    assert store.add_server("a", {}, AT) > server_id


def test_deleting_a_run_deletes_its_records(store: Store) -> None:
    run_id = add(store)
    store.end_run(run_id, completed())
    store.delete_run(run_id)
    assert store.load_result(run_id) is None
    with pytest.raises(NotFound):
        store.get_run(run_id)


def test_label_and_note_change_separately(store: Store) -> None:
    run_id = add(store, "before")
    store.patch_run(run_id, RunPatch(note="seen"))
    assert (store.get_run(run_id).label, store.get_run(run_id).note) == ("before", "seen")
    store.patch_run(run_id, RunPatch(label=""))
    assert (store.get_run(run_id).label, store.get_run(run_id).note) == ("", "seen")
    with pytest.raises(NotFound):
        store.patch_run(run_id + 1, RunPatch(note="unknown run"))


@pytest.mark.parametrize(
    ("which", "labels"),
    [
        ({}, ["delta", "beta", "alpha", "beta"]),
        ({"sort": "created_at"}, ["beta", "alpha", "beta", "delta"]),
        ({"sort": "label"}, ["alpha", "beta", "beta", "delta"]),
        ({"sort": "-label"}, ["delta", "beta", "beta", "alpha"]),
        ({"label": "ET"}, ["beta", "beta"]),
        ({"label": "%"}, None),
        ({"model": "bounded_pool"}, ["delta"]),
        ({"state": "completed"}, ["alpha"]),
        ({"verdict": "valid"}, ["alpha"]),
        ({"verdict": "invalid"}, []),
    ],
)
def test_page_size_does_not_change_the_list(store: Store, which: dict[str, Any], labels: list[str] | None) -> None:
    for label in ("beta", "alpha", "beta"):
        add(store, label)
    add(store, "delta", "bounded_pool")
    store.end_run(2, completed())
    if labels is None:
        with pytest.raises(ValueError, match="label"):
            RunFilter(**which)
        return
    for size in (1, 2, 3, 100):
        found: list[str] = []
        cursor = None
        while True:
            rows, cursor = store.find_runs(RunFilter(**which, limit=size, cursor=cursor))
            found += [row.label for row in rows]
            if cursor is None:
                break
        assert found == labels


@pytest.mark.parametrize("cursor", ["x", "é", "bnVsbA==", "W10=", "WyJhIiwxXQ==", "WzEsMWU5OV0="])
def test_foreign_cursor_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(Invalid) as caught:
        store.find_runs(RunFilter(cursor=cursor))
    assert [error.field for error in caught.value.errors] == ["cursor"]


# --- files that must not be changed ----------------------------------------------------------------------------------


def _newer(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {len(migrations()) + 1}")


def _no_database(path: Path) -> None:
    path.write_bytes(b"the file of another program" * 100)


def _other_program(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE photos (id INTEGER)")


def _damaged(path: Path) -> None:
    with contextlib.closing(Database(path)) as database, database.write() as db:
        db.executemany(
            "INSERT INTO servers (name, config, created_at) VALUES (?, ?, '')",
            [(str(n), "x" * 500) for n in range(100)],
        )
    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\x55" * 4096
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [_newer, _no_database, _other_program, _damaged])
def test_unusable_file_is_not_changed(tmp_path: Path, spoil: Any) -> None:
    path = tmp_path / FILE_NAME
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match=FILE_NAME):
        Store(tmp_path)
    assert path.read_bytes() == before


def test_full_disk_is_reported(tmp_path: Path) -> None:
    with contextlib.closing(Database(tmp_path / FILE_NAME)) as database:
        (pages,) = database._writer.execute("PRAGMA page_count").fetchone()
        database._writer.execute(f"PRAGMA max_page_count = {pages}")
        row = ("INSERT INTO servers (name, config, created_at) VALUES (?, ?, '')", ("big", "x" * 100_000))
        with pytest.raises(StorageFull), database.write() as db:
            db.execute(*row)
        database._writer.execute(f"PRAGMA max_page_count = {pages + 1000}")
        with database.write() as db:
            db.execute(*row)
        with database.read() as db:
            assert db.execute("SELECT count(*) FROM servers").fetchone()[0] == 1


def test_locked_database_is_reported_after_a_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.storage.database.BUSY_TIMEOUT_S", 0.1)
    with (
        contextlib.closing(Store(tmp_path)) as store,
        contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as other,
    ):
        run_id = add(store)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable) as caught:
            store.start_run(run_id, AT)
        assert caught.value.headers["Retry-After"]
        assert store.get_run(run_id).state == "queued"  # reading still works
        other.rollback()
        store.start_run(run_id, AT)
        assert store.get_run(run_id).state == "running"


def test_failed_transaction_is_rolled_back(tmp_path: Path) -> None:
    with contextlib.closing(Database(tmp_path / FILE_NAME)) as database:
        with pytest.raises(sqlite3.IntegrityError), database.write() as db:
            db.executemany("INSERT INTO servers (name, config, created_at) VALUES ('a', '', '')", [(), ()])
        with database.read() as db:
            assert db.execute("SELECT count(*) FROM servers").fetchone()[0] == 0
