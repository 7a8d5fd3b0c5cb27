"""Messages between a client process and its parent: the spec, the start, and progress.

Each message is one line of JSON; results are files (`result_file.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from coreserver.config.base import FrozenSettings, Port
from coreserver.config.load import LoadConfig
from coreserver.records.client import ClientOutcome, ClientRecord

CANCEL = b"cancel"

# Exit codes of a client process that ended as planned; any other is a failure.
EXIT_DONE = 0
EXIT_CANNOT_START = 3
EXIT_ORPHANED = 4


class Spec(FrozenSettings):
    """The task of a client process: the first line of its stdin."""

    host: str
    port: Port
    load: LoadConfig
    process: int
    processes: int  # number of processes that share the load
    result_path: str


@dataclass(frozen=True)
class Progress:
    """The progress of the clients of a run at one instant.

    Attributes:
        counts: the numbers of clients that are `due` so far, `connecting`, `waiting` (connected, not greeted),
            `in_service` (greeted), `completed` and `failed`; and `messages`, the number of messages sent.
        rows: copies of records that changed since the last Progress, without log and messages; after a burst of
            changes some follow later.
    """

    at_ns: int
    started_ns: int
    counts: dict[str, int]
    rows: list[ClientRecord]


@dataclass(frozen=True)
class Ready:
    """A client process has computed its schedule and waits for the start of the run."""

    schedule_sha256: str


@dataclass(frozen=True)
class Refusal:
    """A client process cannot run its spec."""

    reason: str


@dataclass(frozen=True)
class ProgressLine:
    """The progress of one client process, and its CPU time for a partial result."""

    progress: Progress
    cpu_s: float


@dataclass(frozen=True)
class Start:
    """The start of the run: the same instant for all its processes."""

    started_ns: int


def write_start(start: Start) -> bytes:
    """Return the second line of a client process's stdin."""
    return _line({"started_ns": start.started_ns})


def read_start(line: bytes) -> Start:
    """Decode a line that `write_start` has encoded."""
    return Start(json.loads(line)["started_ns"])


def write_line(line: ProgressLine | Ready | Refusal) -> bytes:
    """Encode a line of stdout."""
    match line:
        case Ready(schedule_sha256):
            return _line({"ready": schedule_sha256})
        case Refusal(reason):
            return _line({"cannot_start": reason})
    progress = line.progress
    return _line(
        {
            "at_ns": progress.at_ns,
            "started_ns": progress.started_ns,
            "cpu_s": line.cpu_s,
            "counts": progress.counts,
            "rows": [record_row(record) for record in progress.rows],
        }
    )


def read_line(line: bytes) -> ProgressLine | Ready | Refusal:
    """Decode a line that `write_line` has encoded."""
    value = json.loads(line)
    if "ready" in value:
        return Ready(str(value["ready"]))
    if "cannot_start" in value:
        return Refusal(str(value["cannot_start"]))
    rows = [record_of(row) for row in value["rows"]]
    return ProgressLine(Progress(value["at_ns"], value["started_ns"], value["counts"], rows), value["cpu_s"])


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def record_row(record: ClientRecord) -> list[Any]:
    """Return the fields of `record` in their order, without messages and log."""
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


def record_of(row: list[Any]) -> ClientRecord:
    """Return the record of a row that `record_row` has returned."""
    record = ClientRecord(*row)
    record.outcome = record.outcome and ClientOutcome(record.outcome)
    record.local = record.local and (record.local[0], record.local[1])
    return record
