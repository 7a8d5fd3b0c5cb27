"""Reports and data directories that earlier programs wrote, kept in `tests/data`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "data"
REPORTS = {path.stem: path for path in sorted((DATA / "reports").glob("*.json"))}
LABS = {path.name: path for path in sorted((DATA / "labs").iterdir())}


def golden_report(name: str) -> dict[str, Any]:
    """Return a report as the program of its time wrote it."""
    document: dict[str, Any] = json.loads(REPORTS[name].read_bytes())
    return document


def copy_lab(name: str, data_dir: Path) -> Path:
    """Make `data_dir` from the kept one; return the database in it."""
    shutil.copytree(LABS[name], data_dir)
    return next(data_dir.glob("*.sqlite3"))
