"""Data directories of earlier programs: backup, migration and display; damaged records affect only their run."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from coreserver.reports.schema.definitions import SCHEMA_VERSION
from coreserver.reports.schema.report import Report
from tests.support.golden import LABS, copy_lab
from webapp.serving import embedded
from webapp.settings import Settings
from webapp.storage.database import Database, DatabaseError, backup_path, migrations

HTML = {"Accept": "text/html"}
MIGRATED = [name for name in LABS if int(name.split("-")[0]) < len(migrations())]
RECORD_FILES = ("/connections", "/connections.csv", "/log", "/trace", "/charts/timeline.svg", "/charts/lanes.svg")


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        return version


def content_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return list(db.iterdump())


@pytest.fixture
def open_lab(tmp_path: Path) -> Callable[[str], Any]:
    """Serve a copy of a kept data directory."""

    def serve(name: str) -> Any:
        copy_lab(name, tmp_path / name)
        return embedded(Settings(port=0, data_dir=tmp_path / name))

    return serve


def test_every_migration_step_has_a_lab() -> None:
    assert {int(name.split("-")[0]) for name in LABS} == {*range(1, len(migrations()) + 1)}
    for name, path in LABS.items():
        assert version_of(next(path.glob("*.sqlite3"))) == int(name.split("-")[0])


# --- migration -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MIGRATED)
def test_migration_is_backed_up(tmp_path: Path, name: str) -> None:
    path = copy_lab(name, tmp_path / name)
    before, version = content_of(path), version_of(path)
    Database(path).close()
    backup = backup_path(path, version + 1)
    assert version_of(path) == len(migrations())
    assert version_of(backup) == version
    assert content_of(backup) == before
    assert {file.name for file in path.parent.glob("*.sqlite3*")} == {path.name, backup.name}
    assert backup.stat().st_mode & 0o777 == path.stat().st_mode & 0o777


def test_no_backup_without_a_migration(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite3"
    for _ in range(2):
        Database(path).close()
    Database(copy_lab(max(LABS), tmp_path / "lab")).close()
    assert not list(tmp_path.rglob("*.before-migration-*"))


def test_failed_backup_prevents_the_migration(tmp_path: Path) -> None:
    path = copy_lab(MIGRATED[0], tmp_path / "lab")
    before = path.read_bytes()
    backup_path(path, 2).mkdir()  # the finished copy cannot be renamed to this
    with pytest.raises(DatabaseError, match="was not migrated: free some space"):
        Database(path)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.new"))


def test_full_disk_prevents_the_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copy_lab(MIGRATED[0], tmp_path / "lab")
    before = path.read_bytes()
    real = sqlite3.connect

    def connect(file: Any, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real(file, *args, **kwargs)
        if str(file).endswith(".new"):
            connection.execute("PRAGMA max_page_count = 2")  # SQLite then reports a full disk
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(DatabaseError, match="disk is full"):
        Database(path)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.before-migration-*"))


def test_backup_of_a_failed_start_is_replaced(tmp_path: Path) -> None:
    path = copy_lab(MIGRATED[0], tmp_path / "lab")
    backup_path(path, 2).write_bytes(b"left by an earlier start")
    backup_path(path, 2).with_name(backup_path(path, 2).name + ".new").write_bytes(b"half a copy")
    Database(path).close()
    assert version_of(backup_path(path, 2)) == 1


def test_damaged_report_does_not_stop_a_migration(tmp_path: Path) -> None:
    path = copy_lab("1-records-2", tmp_path / "lab")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE results SET report = x'00' WHERE run_id = 1")
    Database(path).close()
    with closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT id, duration_s IS NOT NULL FROM runs WHERE state = 'completed'").fetchall()
    assert found == [(1, 1), (3, 1)]  # from the outline


# --- what earlier programs stored ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LABS)
def test_older_lab_shows_every_run(open_lab: Callable[[str], Any], name: str) -> None:
    with open_lab(name) as url, httpx.Client(base_url=url, timeout=30) as api:
        ended = [run for run in api.get("/api/v1/runs").json()["runs"] if run["state"] == "completed"]
        assert ended
        for run in ended:
            report = Report.model_validate(api.get(run["links"]["report"]).json())
            assert report.schema_version == SCHEMA_VERSION
            assert run["totals"]["warm_up"] == {"connections": 0, "messages": 0} or name == "3"
            page = api.get(run["links"]["page"], headers=HTML)
            assert (page.status_code, "cannot be read" in page.text) == (200, False)
            rows = api.get(run["links"]["connections"]).json()["connections"]
            assert len(rows) == report.totals.connections.due
            for file in RECORD_FILES:
                assert api.get(run["links"]["self"] + file).status_code == 200, file
            again = api.post("/api/v1/runs/import", json=api.get(run["links"]["report_json"]).json())
            assert again.status_code == 201, again.text
            assert again.json()["imported_from"]["has_records"]
            assert api.get(again.json()["links"]["connections"]).json()["connections"] == rows
        ids = "&".join(f"run={run['id']}" for run in (ended * 2)[:2]) if len(ended) > 1 else ""
        assert not ids or api.get(f"/compare?{ids}", headers=HTML).status_code == 200


def test_unfinished_older_run_is_interrupted(open_lab: Callable[[str], Any]) -> None:
    with open_lab("1-records-2") as url, httpx.Client(base_url=url, timeout=30) as api:
        run = api.get("/api/v1/runs/4").json()
        assert (run["state"], run["verdict"]) == ("interrupted", None)
        assert api.get("/runs/4", headers=HTML).status_code == 200
        assert api.get("/api/v1/servers").json()["servers"][0]["config"]["name"] == "keep"


# --- damage, and newer programs --------------------------------------------------------------------------------------


def changed_result(tmp_path: Path, column: str, change: Callable[[bytes], bytes]) -> Path:
    """A data directory in which one column of the only result has other bytes."""
    path = copy_lab(max(LABS), tmp_path / "lab")
    with closing(sqlite3.connect(path)) as db, db:
        (value,) = db.execute(f"SELECT {column} FROM results WHERE run_id = 1").fetchone()  # noqa: S608
        db.execute(f"UPDATE results SET {column} = ?", (change(value),))  # noqa: S608
    return path.parent


def newer_report(packed: bytes) -> bytes:
    report = json.loads(zlib.decompress(packed))
    return zlib.compress(json.dumps({**report, "schema_version": SCHEMA_VERSION + 1, "more": 1}).encode())


def newer_records(packed: bytes) -> bytes:
    document = zlib.decompress(packed)
    return zlib.compress(document.replace(b"[3]", b"[9]", 1))


@pytest.mark.parametrize(
    ("change", "reason"),
    [(lambda data: data[: len(data) // 2], "damaged"), (newer_records, "newer Serverlab")],
    ids=["half", "newer"],
)
def test_unreadable_records_leave_the_report(tmp_path: Path, change: Callable[[bytes], bytes], reason: str) -> None:
    data_dir = changed_result(tmp_path, "connections", change)
    with embedded(Settings(port=0, data_dir=data_dir)) as url, httpx.Client(base_url=url, timeout=30) as api:
        run = api.get("/api/v1/runs/1").json()
        page = api.get("/runs/1", headers=HTML)
        assert (page.status_code, "records cannot be read" in page.text) == (200, True)
        assert run["sentence"] in page.text
        assert "Environment" in page.text
        for file in RECORD_FILES:
            answer = api.get(run["links"]["self"] + file)
            assert answer.status_code == 404, file
            assert "the records of run 1 cannot be read" in answer.json()["detail"], file
        offline = api.get(run["links"]["report_html"])
        assert (offline.status_code, "records cannot be read" in offline.text) == (200, True)
        exported = api.get(run["links"]["report_json"]).json()
        assert exported["run"]["sentence"] == run["sentence"]
        if reason == "damaged":
            assert "bundle" not in exported
            copy = api.post("/api/v1/runs/import", json=exported)
            assert (copy.status_code, copy.json()["imported_from"]["has_records"]) == (201, False)
            compared = api.get(f"/compare?run=1&run={copy.json()['id']}", headers=HTML)
            assert compared.status_code == 200
        else:
            assert reason in page.text


@pytest.mark.parametrize(
    ("change", "reason"),
    [(lambda data: data[: len(data) // 2], "it is damaged"), (newer_report, "install a newer Serverlab to open it")],
    ids=["half", "newer"],
)
def test_unreadable_report_is_named(tmp_path: Path, change: Callable[[bytes], bytes], reason: str) -> None:
    data_dir = changed_result(tmp_path, "report", change)
    with embedded(Settings(port=0, data_dir=data_dir)) as url, httpx.Client(base_url=url, timeout=30) as api:
        links = api.get("/api/v1/runs/1").json()["links"]
        page = api.get("/runs/1", headers=HTML)
        assert (page.status_code, reason in page.text) == (200, True)
        assert api.get("/runs", headers=HTML).status_code == 200
        for link in ("report", "report_json", "report_html", "connections"):
            answer = api.get(links[link])
            assert answer.status_code == 404, link
            assert reason in answer.json()["detail"], link


def test_newer_outline_does_not_stop_the_list(tmp_path: Path) -> None:
    path = copy_lab(max(LABS), tmp_path / "lab")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE runs SET outline = json_set(outline, '$.schema_version', ?)", (SCHEMA_VERSION + 1,))
    with embedded(Settings(port=0, data_dir=path.parent)) as url, httpx.Client(base_url=url, timeout=30) as api:
        runs = api.get("/api/v1/runs").json()["runs"]
        assert [(run["state"], run["verdict"]) for run in runs] == [("completed", None)]
        assert api.get("/runs", headers=HTML).status_code == 200
