"""Rows as text in pieces: all pieces together are equal to the result of one call."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest

from webapp.exports.row_streams import ROWS_PER_PIECE, csv_table, json_list
from webapp.schemas.resources import ConnectionList, ConnectionRow


def row(number: int) -> dict[str, Any]:
    filled = {"name": f"conn{number}", "group": 'a "group"\r\n', "due_s": number / 3, "detail": "=1+1", "messages": 2}
    return dict.fromkeys(ConnectionRow.model_fields) | filled | {"bytes_sent": 1, "bytes_received": 1}


@pytest.mark.parametrize(
    "count", [0, 1, ROWS_PER_PIECE - 1, ROWS_PER_PIECE, ROWS_PER_PIECE + 1, 3 * ROWS_PER_PIECE + 7]
)
def test_pieces_form_one_document(count: int) -> None:
    rows = [row(number) for number in range(count)]
    pieces = list(json_list("connections", rows))
    assert json.loads(b"".join(pieces)) == {"connections": rows, "next_cursor": None}
    assert len(ConnectionList.model_validate_json(b"".join(pieces)).connections) == count
    assert max(piece.count(b'"name"') for piece in pieces) <= ROWS_PER_PIECE
    table = "".join(csv_table(["name", "group", "due_s", "detail", "worker"], rows))
    assert table.startswith("name,group,due_s,detail,worker\r\n")
    read = list(csv.DictReader(table.splitlines(keepends=True)))
    assert [(line["name"], line["group"], line["detail"], line["worker"]) for line in read] == [
        (f"conn{number}", 'a "group"\r\n', "'=1+1", "") for number in range(count)
    ]
