"""Reports and data directories of every version, kept in `tests/data` as the programs of their time wrote them.

`python -m tests.support.golden` writes a report of the current version, and a data directory of the current migration
step if that is missing. Run it after each change of the shape of a report, which raises `SCHEMA_VERSION`.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from coreserver.reports.schema.definitions import SCHEMA_VERSION
from webapp.serving import embedded
from webapp.settings import Settings
from webapp.storage.database import migrations

DATA = Path(__file__).parent.parent / "data"
REPORTS = {path.stem: path for path in sorted((DATA / "reports").glob("*.json"))}
LABS = {path.name: path for path in sorted((DATA / "labs").iterdir())}

# A run whose report has every part, including theory.
RUN = {
    "label": "golden",
    "seed": 7,
    "server": {
        "model": "bounded_pool",
        "workers": 2,
        "work": {"kind": "sleep", "mean_ms": 20, "distribution": "exponential", "per": "connection"},
    },
    "clients": [{"kind": "open", "rate_per_s": 60, "duration_s": 1.0, "warm_up_s": 0.2}],
}
MACHINE = {"cpu": "Example CPU", "kernel": "6.1.0", "python_build": "main", "python_compiler": "GCC"}


def golden_report(name: str) -> dict[str, Any]:
    """Return a report as the program of its time wrote it."""
    document: dict[str, Any] = json.loads(REPORTS[name].read_bytes())
    return document


def copy_lab(name: str, data_dir: Path) -> Path:
    """Copy a kept data directory to `data_dir`; return the database in it."""
    shutil.copytree(LABS[name], data_dir)
    return next(data_dir.glob("*.sqlite3"))


def write_current(report_path: Path, lab_path: Path) -> None:
    """Make a run; write its report, and its database if `lab_path` does not exist. Neither names this machine."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        with embedded(Settings(port=0, data_dir=data_dir)) as url, httpx.Client(base_url=url, timeout=60) as api:
            run = api.post("/api/v1/runs?wait_s=60", json=RUN).json()
            report = api.get(run["links"]["report_json"]).json()
        report["environment"] |= MACHINE
        lines = (f"{json.dumps(name)}:{json.dumps(part, separators=(',', ':'))}" for name, part in report.items())
        report_path.write_text("{" + ",\n".join(lines) + "}\n")
        if not lab_path.exists():
            [database] = data_dir.glob("*.sqlite3")
            _shrink(database)
            lab_path.mkdir()
            shutil.copy(database, lab_path)


def _shrink(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        (packed,) = db.execute("SELECT report FROM results").fetchone()
        report = json.loads(zlib.decompress(packed))
        report["environment"] |= MACHINE
        db.execute("UPDATE results SET report = ?", (zlib.compress(json.dumps(report).encode()),))
        for statement in ("PRAGMA journal_mode = DELETE", "PRAGMA page_size = 512", "VACUUM"):
            db.execute(statement)


if __name__ == "__main__":
    write_current(DATA / "reports" / f"{SCHEMA_VERSION}.json", DATA / "labs" / str(len(migrations())))
