"""A run as it is stored or exchanged as a file: the report next to its encoded records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coreserver.errors import RecordsIncomplete
from coreserver.records.codec import stored_format
from coreserver.reports.schema.report import Report
from webapp.storage.store import Result


@dataclass(frozen=True, slots=True)
class Records:
    """Encoded records of a run (`coreserver.records.codec`), and the run's start on its clock and on the wall clock."""

    format: int
    started_ns: int
    started_wall_s: float
    connections: bytes


@dataclass(frozen=True, slots=True)
class Imported:
    """Content of an imported file.

    `config` is the body that repeats the run in this lab; `records` is None if the file has only the report.
    """

    report: Report
    config: dict[str, Any]
    records: Records | None


def stored_records(result: Result) -> Records | None:
    """Return the records of a stored run, or None if there are none or they are damaged."""
    if not result.connections:
        return None
    try:
        found = stored_format(result.connections)
    except RecordsIncomplete:
        return None
    return Records(found, result.started_ns, result.started_wall_s, result.connections)
