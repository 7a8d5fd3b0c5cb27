"""A data directory with thousands of runs: a few measured ones, copied in the database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from benchmarks.lab import LabProcess
from webapp.storage.store import FILE_NAME

MODELS = ("sequential", "thread_per_client", "bounded_pool", "asyncio")


def many_runs(data_dir: Path, copies: int) -> None:
    """Execute runs of several designs and copy them until there are `copies`. No other lab may run there."""
    with LabProcess(data_dir) as lab:
        for model in MODELS:
            arrivals = {"kind": "open", "rate_per_s": 200, "duration_s": 0.5}
            script = {"kind": "script", "count": 3, "script": [{"send": "^abc$"}, {"expect": "bcd"}]}
            for clients in (arrivals, script):
                lab.run({"model": model, "workers": 4} if "pool" in model else {"model": model}, clients, label=model)
    with closing(sqlite3.connect(data_dir / FILE_NAME)) as database, database:
        made = database.execute("SELECT max(id) FROM runs").fetchone()[0]
        for table, key in (("runs", "id"), ("results", "run_id")):
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})") if row[1] != key]
            values = ", ".join("label || ' ' || (number * :made + id)" if name == "label" else name for name in columns)
            copy = (
                "WITH RECURSIVE numbers(number) AS"  # noqa: S608 - consists of constants and column names
                " (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE (number + 1) * :made < :copies)"
                f" INSERT INTO {table} ({key}, {', '.join(columns)})"
                f" SELECT number * :made + {key}, {values} FROM numbers, {table} WHERE {key} <= :made"
            )
            database.execute(copy, {"made": made, "copies": copies})
