"""What passes between a client process and its parent: the spec, lines of progress, and the result file.

Everything is JSON, one value a line. Bytes travel as text of the same code points (Latin-1).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coreserver.clients.records import ClientOutcome, ClientRecord, LoadResult, LogEvent, LogKind, MessageRecord
from coreserver.config import LoadConfig, Port, Settings

CANCEL = b"cancel\n"

# Exit codes of a client process that ended on purpose; anything else is a death.
EXIT_DONE = 0
EXIT_CANNOT_START = 3
EXIT_ORPHANED = 4


class Spec(Settings):
    """All that a client process needs to know, on the first line of its stdin."""

    host: str
    port: Port
    load: LoadConfig
    result_path: str


@dataclass(frozen=True)
class Progress:
    """Where the clients of a run stand at one instant.

    `counts` has `due` (how many due times have come), `connecting`, `waiting` (connected, not greeted), `in_service`
    (greeted), and `completed` and `failed` so far. `rows` are copies, without log and messages, of records that changed
    since the last Progress; in a burst of changes some follow later.
    """

    at_ns: int
    started_ns: int
    counts: dict[str, int]
    rows: list[ClientRecord]


@dataclass(frozen=True)
class ProgressLine:
    """One line of a client process: its progress, and what a partial result would need beside it."""

    progress: Progress
    started_wall_s: float
    cpu_s: float


def write_progress(line: ProgressLine) -> bytes:
    """`line` as it travels."""
    progress = line.progress
    return _line(
        {
            "at_ns": progress.at_ns,
            "started_ns": progress.started_ns,
            "started_wall_s": line.started_wall_s,
            "cpu_s": line.cpu_s,
            "counts": progress.counts,
            "rows": [_row(record) for record in progress.rows],
        }
    )


def write_refusal(reason: str) -> bytes:
    """The one line of a process that cannot do what its spec asks."""
    return _line({"cannot_start": reason})


def read_line(line: bytes) -> ProgressLine | str:
    """The progress in a line of a client process, or why it cannot start."""
    value = json.loads(line)
    if "cannot_start" in value:
        return str(value["cannot_start"])
    rows = [_record(row) for row in value["rows"]]
    progress = Progress(value["at_ns"], value["started_ns"], value["counts"], rows)
    return ProgressLine(progress, value["started_wall_s"], value["cpu_s"])


def write_result(path: Path, result: LoadResult, sign_of_life: Callable[[], object]) -> None:
    """Put `result` at `path`, which has all of it or does not exist; calls `sign_of_life` after every record."""
    being_written = path.with_name(f"{path.name}.part")
    with being_written.open("wb") as file:
        file.write(_line([result.started_ns, result.started_wall_s, result.ended_ns, result.cpu_s, result.complete]))
        for record in result.records:
            messages = [(message.due_ns, message.sent_ns, message.replied_ns) for message in record.messages]
            log = [(event.at_ns, event.kind, event.data.decode("latin-1")) for event in record.log]
            file.write(_line([_row(record), messages, log]))
            sign_of_life()
    os.replace(being_written, path)


def read_result(path: Path) -> LoadResult:
    """The result at `path`."""
    with path.open("rb") as file:
        started_ns, started_wall_s, ended_ns, cpu_s, complete = json.loads(next(file))
        records = [_full_record(*json.loads(line)) for line in file]
    return LoadResult(started_ns, started_wall_s, ended_ns, cpu_s, records, complete)


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _row(record: ClientRecord) -> list[Any]:
    """The fields of `record` in their order, without messages and log."""
    return [
        record.name,
        record.group,
        record.due_ns,
        record.connect_start_ns,
        record.connected_ns,
        record.greeted_ns,
        record.closed_ns,
        record.outcome,
        record.detail,
        record.local,
        record.bytes_sent,
        record.bytes_received,
    ]


def _record(row: list[Any]) -> ClientRecord:
    record = ClientRecord(*row)
    record.outcome = record.outcome and ClientOutcome(record.outcome)
    record.local = record.local and (record.local[0], record.local[1])
    return record


def _full_record(row: list[Any], messages: list[Any], log: list[Any]) -> ClientRecord:
    record = _record(row)
    record.messages = [MessageRecord(*message) for message in messages]
    record.log = [LogEvent(at_ns, LogKind(kind), data.encode("latin-1")) for at_ns, kind, data in log]
    return record
