"""Upgrade encoded records of earlier formats, as inflated documents, to the format that `codec` reads.

    1   JSON of [1, rows]; each client row holds its messages where format 2 has `measured_from_ns`
    2   length of the header | header: JSON of [2, rows] | four columns of whole numbers, the messages
    3   the same, but the header is a line [3], then lines of JSON, each with the rows of some connections

One pure function per step. They raise what `json`, `struct` and numpy raise if the document is damaged.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from coreserver.records.message_columns import NOT_ANSWERED, WIDTH

HEADER_LENGTH = struct.Struct("<Q")
_ROWS_PER_LINE = 500


def format_of(start: bytes) -> int:
    """Return the format of a document from its first bytes: at least 20, or all of a shorter one.

    Raises:
        ValueError: the bytes do not begin like a document.
    """
    is_text = b"\0" not in start[: HEADER_LENGTH.size]  # a header length has zeros, because it is below 2**56
    header = start if is_text else start[HEADER_LENGTH.size :]
    found = re.match(rb"\[(\d{1,9})[],]", header)
    if found is None:
        raise ValueError("they do not begin with the number of a format")
    return int(found[1])


def upgrade_document(document: bytes) -> bytes:
    """Return the document in format 3 or later, unchanged if it has such a format."""
    while step := _STEPS.get(format_of(document[:20])):
        document = step(document)
    return document


def _to_format_2(document: bytes) -> bytes:
    """Move the messages from the rows into columns. Programs with format 1 had no warm-up, so it ends at 0."""
    _, rows = json.loads(document)
    stamps: list[tuple[int, int, int, int]] = []
    connections: list[Any] = []
    for number, (client, server) in enumerate(rows):
        *plain, messages, log = client
        connections.append([[*plain, 0, log], server])
        stamps += [
            (number, due_ns, sent_ns, NOT_ANSWERED if replied_ns is None else replied_ns)
            for due_ns, sent_ns, replied_ns in messages
        ]
    columns = np.array(stamps, dtype=np.int64).reshape(-1, WIDTH).T
    return _document(json.dumps([2, connections]).encode(), np.diff(columns, prepend=0).astype("<i8").tobytes())


def _to_format_3(document: bytes) -> bytes:
    """Divide the header into lines, which can be parsed one by one."""
    (length,) = HEADER_LENGTH.unpack_from(document)
    end = HEADER_LENGTH.size + length
    _, rows = json.loads(document[HEADER_LENGTH.size : end])
    parts = [rows[start : start + _ROWS_PER_LINE] for start in range(0, len(rows), _ROWS_PER_LINE)]
    return _document(b"\n".join([b"[3]", *(json.dumps(part).encode() for part in parts)]), document[end:])


def _document(header: bytes, stamps: bytes) -> bytes:
    return HEADER_LENGTH.pack(len(header)) + header + stamps


_STEPS: Mapping[int, Callable[[bytes], bytes]] = {1: _to_format_2, 2: _to_format_3}
