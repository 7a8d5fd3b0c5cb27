"""A run as it is stored or exchanged as a file: the report next to its encoded records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Records:
    """Encoded records of a run (`coreserver.records.codec`), and the run's start on its clock and on the wall clock."""

    started_ns: int
    started_wall_s: float
    connections: bytes


@dataclass(frozen=True, slots=True)
class Imported:
    """Content of an imported file.

    `config` is the body that repeats the run in this lab; `records` is None if the file has only the report.
    """

    report: dict[str, Any]
    config: dict[str, Any]
    records: Records | None
