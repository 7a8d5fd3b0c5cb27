"""Joined records as bytes for a database, and back without loss: JSON rows, deflated.

Records are written as rows in the order of their dataclass fields. The first item of the document is `FORMAT`: a change
of those fields needs a new number, so that old data is refused rather than misread.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any

from coreserver.clients.records import ClientOutcome, ClientRecord, LogEvent, LogKind, MessageRecord
from coreserver.errors import RecordsIncomplete
from coreserver.reports.timing import JoinedConnection
from coreserver.telemetry import ConnectionRecord, ServerOutcome

FORMAT = 1


def encode_connections(connections: Sequence[JoinedConnection]) -> bytes:
    """Every fact of these connections, log events and messages included."""
    rows = [[_client_row(c.client), None if c.server is None else _server_row(c.server)] for c in connections]
    return zlib.compress(json.dumps([FORMAT, rows], separators=(",", ":")).encode())


def decode_connections(data: bytes) -> list[JoinedConnection]:
    """The connections that `encode_connections` was given.

    Raises:
        RecordsIncomplete: the bytes are damaged, or of another format.
    """
    try:
        version, rows = json.loads(zlib.decompress(data))
        if version != FORMAT:
            raise RecordsIncomplete(f"stored connections have format {version}; this version reads {FORMAT}")
        return [
            JoinedConnection(_client(client), None if server is None else _server(server)) for client, server in rows
        ]
    except (zlib.error, ValueError, TypeError) as error:
        raise RecordsIncomplete(f"stored connections cannot be read: {error}") from error


def _client_row(client: ClientRecord) -> list[Any]:
    return [
        client.name,
        client.group,
        client.due_ns,
        client.connect_start_ns,
        client.connected_ns,
        client.greeted_ns,
        client.closed_ns,
        client.outcome,
        client.detail,
        client.local,
        client.bytes_sent,
        client.bytes_received,
        [[message.due_ns, message.sent_ns, message.replied_ns] for message in client.messages],
        [[event.at_ns, event.kind, event.data.decode("latin-1")] for event in client.log],  # one character a byte
    ]


def _client(row: list[Any]) -> ClientRecord:
    *plain, messages, log = row
    record = ClientRecord(*plain)
    record.outcome = None if record.outcome is None else ClientOutcome(record.outcome)
    record.local = None if record.local is None else (record.local[0], record.local[1])
    record.messages = [MessageRecord(*message) for message in messages]
    record.log = [LogEvent(at_ns, LogKind(kind), data.encode("latin-1")) for at_ns, kind, data in log]
    return record


def _server_row(server: ConnectionRecord) -> list[Any]:
    return [
        server.number,
        server.peer,
        server.accepted_ns,
        server.started_ns,
        server.finished_ns,
        server.worker,
        server.outcome,
        server.bytes_in,
        server.bytes_out,
        server.messages,
    ]


def _server(row: list[Any]) -> ConnectionRecord:
    record = ConnectionRecord(*row)
    record.peer = (record.peer[0], record.peer[1])
    record.outcome = None if record.outcome is None else ServerOutcome(record.outcome)
    return record
