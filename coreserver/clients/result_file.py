"""The result file of one client process: one line of JSON per record, then the messages as they are in memory.

header ⏎ (record, its place, its log) ⏎ … 8-byte numbers, four per message, in the byte order of the machine
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coreserver.clients.worker_protocol import record_of, record_row
from coreserver.records.client import ClientRecord, GroupCount, LogEvent, LogKind, WorkerUsage
from coreserver.records.place import Place


@dataclass(frozen=True)
class WorkerResult:
    """The result of one client process: its part of a LoadResult, not sorted yet.

    Attributes:
        stamps: rows of `MessageColumns`; the first number is the index of the message's connection in `records`.
    """

    ended_ns: int
    complete: bool
    stopped_by: str | None
    groups: tuple[GroupCount, ...]
    usage: WorkerUsage
    records: list[ClientRecord]
    places: Sequence[Place]
    stamps: array[int] | bytes


def write_result(path: Path, result: WorkerResult, keep_alive: Callable[[], object]) -> None:
    """Write `result` to `path` in one step: readers see all of it or no file. Call `keep_alive` after each record."""
    header = {
        "ended_ns": result.ended_ns,
        "complete": result.complete,
        "stopped_by": result.stopped_by,
        "groups": [asdict(group) for group in result.groups],
        "usage": asdict(result.usage),
        "records": len(result.records),
    }
    draft = path.with_name(f"{path.name}.part")
    with draft.open("wb") as file:
        file.write(_line(header))
        for record, place in zip(result.records, result.places, strict=True):
            log = [(event.at_ns, event.kind, event.data.decode("latin-1")) for event in record.log]
            file.write(_line([record_row(record), record.measured_from_ns, place, log]))
            keep_alive()
        file.write(result.stamps)
    os.replace(draft, path)


def read_result(path: Path) -> WorkerResult:
    """Read the result at `path`."""
    with path.open("rb") as file:
        header = json.loads(file.readline())
        lines = [json.loads(file.readline()) for _ in range(header["records"])]
        stamps = file.read()
    return WorkerResult(
        ended_ns=header["ended_ns"],
        complete=header["complete"],
        stopped_by=header["stopped_by"],
        groups=tuple(GroupCount(**group) for group in header["groups"]),
        usage=WorkerUsage(**header["usage"]),
        records=[_record(row, measured_from_ns, log) for row, measured_from_ns, _, log in lines],
        places=[(place[0], place[1], place[2]) for _, _, place, _ in lines],
        stamps=stamps,
    )


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _record(row: list[Any], measured_from_ns: int, log: list[Any]) -> ClientRecord:
    record = record_of(row)
    record.measured_from_ns = measured_from_ns
    record.log = [LogEvent(at_ns, LogKind(kind), data.encode("latin-1")) for at_ns, kind, data in log]
    return record
