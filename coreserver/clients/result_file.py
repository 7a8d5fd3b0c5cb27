"""The result of one client process as a file: a line of JSON a record, and then the messages as they lay in memory.

header ⏎ (record, its place, its log) ⏎ … 8-byte numbers, four a message, in the machine's own byte order
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
    """What one client process delivers: its part of a LoadResult, not put in order yet.

    `stamps` are rows of `MessageColumns`; their first number is the index of the message's connection in `records`.
    """

    ended_ns: int
    complete: bool
    stopped_by: str | None
    groups: tuple[GroupCount, ...]
    usage: WorkerUsage
    records: list[ClientRecord]
    places: Sequence[Place]
    stamps: array[int] | bytes


def write_result(path: Path, result: WorkerResult, sign_of_life: Callable[[], object]) -> None:
    """Put `result` at `path`, which has all of it or does not exist; calls `sign_of_life` after every record."""
    header = {
        "ended_ns": result.ended_ns,
        "complete": result.complete,
        "stopped_by": result.stopped_by,
        "groups": [asdict(group) for group in result.groups],
        "usage": asdict(result.usage),
        "records": len(result.records),
    }
    being_written = path.with_name(f"{path.name}.part")
    with being_written.open("wb") as file:
        file.write(_line(header))
        for record, place in zip(result.records, result.places, strict=True):
            log = [(event.at_ns, event.kind, event.data.decode("latin-1")) for event in record.log]
            file.write(_line([record_row(record), record.measured_from_ns, place, log]))
            sign_of_life()
        file.write(result.stamps)
    os.replace(being_written, path)


def read_result(path: Path) -> WorkerResult:
    """The result at `path`."""
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
