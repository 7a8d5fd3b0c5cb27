"""Encode joined records as bytes for a database, and decode them without loss.

    deflated: length of the header | header | four columns of whole numbers, the messages
    header: a line [FORMAT], then lines of JSON, each with the rows of some connections

Connections are written as rows in the order of their dataclass fields, at most 500 per line, because the JSON module
holds the interpreter lock during a call. Messages, of which there may be millions, are numbers of eight bytes. A change
of either needs a new `FORMAT` and a function in `older_formats` that upgrades the format before it, so that records of
every earlier format can be read.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from coreserver.errors import RecordsIncomplete
from coreserver.records.client import ClientOutcome, ClientRecord, LogEvent, LogKind
from coreserver.records.inflate import inflate
from coreserver.records.joined import JoinedConnection
from coreserver.records.message_columns import WIDTH
from coreserver.records.messages import Stamps, attach_rows, table_of
from coreserver.records.older_formats import HEADER_LENGTH, format_of, upgrade_document
from coreserver.records.record_format import FORMAT
from coreserver.records.server import ConnectionRecord, ServerOutcome

FIRST_WITH_LINES = 3
_PIECE_BYTES = 2**20
_ROWS_PER_LINE = 500
_UNREADABLE = (
    zlib.error,
    struct.error,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
)


def encode_connections(connections: Sequence[JoinedConnection]) -> bytes:
    """Encode all recorded facts of these connections, including log events and messages."""
    header = b"\n".join([b"[%d]" % FORMAT, *_lines(connections)])
    document = HEADER_LENGTH.pack(len(header)) + header + _stamps([c.client for c in connections])
    return zlib.compress(document, level=1)  # three times as fast as the default level; the result is a tenth larger


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of decoding, because a few deflated kilobytes can contain gigabytes, and text grows when it is parsed."""

    inflated_bytes: int = sys.maxsize
    line_bytes: int = sys.maxsize
    connections: int = sys.maxsize


def decode_connections(data: bytes, bounds: Bounds | None = None, *, messages: bool = True) -> list[JoinedConnection]:
    """Decode connections that `encode_connections` has encoded.

    The format has only JSON and numbers, so untrusted bytes can cause no harm except an error. The plausibility of the
    values is checked in `coreserver.reports.import_check`.

    Args:
        bounds: limits for untrusted bytes; None for bytes from the lab's own database.
        messages: False: decode the connections without messages.

    Raises:
        RecordsIncomplete: the bytes are damaged, exceed `bounds`, or have a newer format.
    """
    bounds = bounds or Bounds()
    try:
        document = inflate(data, bounds.inflated_bytes)
        _refuse(format_of(document[:20]), document, bounds)
        document = upgrade_document(document)
        (length,) = HEADER_LENGTH.unpack_from(document)
        header, stamps = document[HEADER_LENGTH.size :][:length], document[HEADER_LENGTH.size :][length:]
        first, *lines = header.split(b"\n")
        if first != b"[%d]" % FORMAT:
            raise ValueError("they do not begin with a line that names their format")
        connections: list[JoinedConnection] = []
        for line in lines:
            if len(line) > bounds.line_bytes or len(connections) > bounds.connections:
                raise RecordsIncomplete("there are more stored connections than this program reads")
            connections += [
                JoinedConnection(_client(client), None if server is None else _server(server))
                for client, server in json.loads(line)
            ]
        if messages:
            attach_rows([connection.client for connection in connections], _rows(stamps))
    except _UNREADABLE as error:
        raise RecordsIncomplete(f"stored connections cannot be read: {error}") from error
    return connections


def stored_format(data: bytes) -> int:
    """Return the format in which these bytes were encoded, and verify their checksum.

    Raises:
        RecordsIncomplete: the bytes are damaged.
    """
    inflater = zlib.decompressobj()
    try:
        found = format_of(inflater.decompress(data, _PIECE_BYTES)[:20])
        while not inflater.eof:
            if not inflater.decompress(inflater.unconsumed_tail, _PIECE_BYTES) and not inflater.eof:
                raise ValueError("they end too early")
        return found
    except _UNREADABLE as error:
        raise RecordsIncomplete(f"stored connections cannot be read: {error}") from error


def _refuse(found: int, document: bytes, bounds: Bounds) -> None:
    """Raise RecordsIncomplete for a newer format, and for a document too long for a format without lines."""
    if found > FORMAT:
        raise RecordsIncomplete(
            f"stored connections have format {found}, written by a newer Serverlab; this program reads formats up to "
            f"{FORMAT}"
        )
    if found < FIRST_WITH_LINES and len(document) > bounds.line_bytes:
        raise RecordsIncomplete("there are more stored connections than this program reads")


def _lines(connections: Sequence[JoinedConnection]) -> Iterator[bytes]:
    for start in range(0, len(connections), _ROWS_PER_LINE):
        some = connections[start : start + _ROWS_PER_LINE]
        rows = [[_client_row(c.client), None if c.server is None else _server_row(c.server)] for c in some]
        yield json.dumps(rows, separators=(",", ":")).encode()


def _stamps(clients: Sequence[ClientRecord]) -> bytes:
    """Return the messages as columns of differences, which are mostly zeros and deflate well."""
    table = table_of(clients)
    columns = np.stack([table.connection, table.due_ns, table.sent_ns, table.replied_ns])
    return np.diff(columns, prepend=0).astype("<i8").tobytes()


def _rows(stamps: bytes) -> Stamps:
    """Return the messages as rows for `attach_rows`."""
    return np.cumsum(np.frombuffer(stamps, dtype="<i8").reshape(WIDTH, -1), axis=1).T


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
        client.measured_from_ns,
        [[event.at_ns, event.kind, event.data.decode("latin-1")] for event in client.log],  # one character per byte
    ]


def _client(row: list[Any]) -> ClientRecord:
    *plain, measured_from_ns, log = row
    record = ClientRecord(*plain)
    record.measured_from_ns = measured_from_ns
    record.outcome = None if record.outcome is None else ClientOutcome(record.outcome)
    record.local = None if record.local is None else (record.local[0], record.local[1])
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
