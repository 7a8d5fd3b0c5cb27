"""Records in the formats of earlier programs, written here as these programs wrote them."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from coreserver.errors import RecordsIncomplete
from coreserver.records.codec import Bounds, decode_connections, encode_connections, stored_format
from coreserver.records.joined import JoinedConnection
from coreserver.records.messages import table_of
from tests.support.made_records import at, client, pool_of_two

CONNECTIONS = [  # without a warm-up, which format 1 cannot hold
    *(replace(one, client=replace(one.client, measured_from_ns=0)) for one in pool_of_two()),
    JoinedConnection(
        replace(client("late", outcome=None, messages=((5, 6, 7), (8, 9, None))), measured_from_ns=0, local=None), None
    ),
]


def rows(connections: Sequence[JoinedConnection]) -> list[Any]:
    """Return the rows of format 3, which are those of format 2."""
    document = zlib.decompress(encode_connections(connections))
    (length,) = struct.unpack_from("<Q", document)
    return [row for line in document[8 : 8 + length].split(b"\n")[1:] for row in json.loads(line)]


def format_1(connections: Sequence[JoinedConnection]) -> bytes:
    found = []
    for connection, (client_row, server_row) in zip(connections, rows(connections), strict=True):
        *plain, _, log = client_row
        messages = [[one.due_ns, one.sent_ns, one.replied_ns] for one in connection.client.messages]
        found.append([[*plain, messages, log], server_row])
    return zlib.compress(json.dumps([1, found], separators=(",", ":")).encode())


def format_2(connections: Sequence[JoinedConnection]) -> bytes:
    header = json.dumps([2, rows(connections)], separators=(",", ":")).encode()
    table = table_of(connection.client for connection in connections)
    columns = np.stack([table.connection, table.due_ns, table.sent_ns, table.replied_ns])
    stamps = np.diff(columns, prepend=0).astype("<i8").tobytes()
    return zlib.compress(struct.pack("<Q", len(header)) + header + stamps)


@pytest.mark.parametrize("connections", [CONNECTIONS, CONNECTIONS[-1:], []], ids=["several", "one", "none"])
def test_every_format_is_decoded(connections: list[JoinedConnection]) -> None:
    for number, encode in enumerate((format_1, format_2, encode_connections), start=1):
        data = encode(connections)
        assert stored_format(data) == number
        assert decode_connections(data) == connections
        assert [one.client.name for one in decode_connections(data, messages=False)] == [
            one.client.name for one in connections
        ]


def test_first_format_excludes_no_warm_up() -> None:
    warm = [JoinedConnection(replace(CONNECTIONS[0].client, measured_from_ns=at(100)), None)]
    assert decode_connections(format_2(warm))[0].client.measured_from_ns == at(100)
    assert decode_connections(format_1(warm))[0].client.measured_from_ns == 0


@pytest.mark.parametrize("encode", [format_1, format_2])
def test_long_document_without_lines_is_refused(encode: Any) -> None:
    with pytest.raises(RecordsIncomplete, match="more stored connections than this program reads"):
        decode_connections(encode(CONNECTIONS), Bounds(line_bytes=100))


@pytest.mark.parametrize(
    "document",
    [b"[1,[]", b"[1,[[1,2]]]", b"[1]", b"[1,3]", b'[1,[[["a",[[1,2]],[]],null]]]', b"[0,[]]", b"[12345678901,[]]"],
)
def test_damaged_document_is_refused(document: bytes) -> None:
    with pytest.raises(RecordsIncomplete):
        decode_connections(zlib.compress(document))
    header = document.replace(b"1", b"2", 1)
    with pytest.raises(RecordsIncomplete):
        decode_connections(zlib.compress(struct.pack("<Q", len(header)) + header + b"odd"))
