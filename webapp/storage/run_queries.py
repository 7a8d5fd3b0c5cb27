"""SQL for the list of runs: filters, sort orders and keyset pagination.

A page begins after a key and not after a number of rows, so runs that are added or deleted between two requests shift
nothing, and the run that the key was taken from may be deleted itself. Runs without the figure that the list is sorted
by come last in both directions. A page therefore has up to two parts, runs with the figure and runs without it, and
each part is read from an index.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from sqlite3 import Connection, Row
from typing import Any

from webapp.problems import FieldError, Invalid
from webapp.schemas.resources import RunFilter


@dataclass(frozen=True, slots=True)
class SortOrder:
    """A sort column with its collation; `kind` is the type of its values."""

    column: str
    kind: type[str] | type[float]
    may_be_missing: bool = False
    collation: str = ""

    @property
    def key(self) -> str:
        """The sort expression, exactly as the index of this order was created with it."""
        return f"{self.column} {self.collation}".rstrip()


ORDERS = {
    "created_at": SortOrder("created_at", str),
    "label": SortOrder("label", str, collation="COLLATE NOCASE"),
    "model": SortOrder("model", str),
    "verdict": SortOrder("verdict_status", str, may_be_missing=True),  # alphabetical: invalid, suspect, valid
    "duration_s": SortOrder("duration_s", float, may_be_missing=True),
    "throughput_messages_per_s": SortOrder("throughput_messages_per_s", float, may_be_missing=True),
    "response_p50_ms": SortOrder("response_p50_ms", float, may_be_missing=True),
    "response_p99_ms": SortOrder("response_p99_ms", float, may_be_missing=True),
}


@dataclass(frozen=True, slots=True)
class PageStart:
    """A page begins after this run. `key` is the run's value of the sort column; None if it has no such figure."""

    key: str | float | None
    run_id: int


def select_page(db: Connection, which: RunFilter) -> tuple[list[Row], str | None]:
    """Return the rows of one page and the cursor of the next page.

    Raises:
        Invalid: `which.cursor` belongs to another sort order.
    """
    order = ORDERS[which.sort.removeprefix("-")]
    after = None if which.cursor is None else _parse_cursor(which.cursor, which.sort, order)
    rows: list[Row] = []
    for where, values in _parts(order, after, descending=which.sort.startswith("-")):
        if len(rows) <= which.limit:
            rows += _rows(db, which, order, where, values, which.limit + 1 - len(rows))
    page = rows[: which.limit]
    return page, _make_cursor(which.sort, page[-1][order.column], page[-1]["id"]) if len(rows) > len(page) else None


def _parts(order: SortOrder, after: PageStart | None, *, descending: bool) -> Iterator[tuple[str, list[Any]]]:
    """Yield the SQL conditions of the parts that a page can extend over, in list order."""
    beyond = "<" if descending else ">"
    if after is None:
        yield f"{order.column} IS NOT NULL", []
    elif after.key is not None:
        from_key = f"{order.key} {beyond}= ?"  # SQLite uses no index with a collation for a row value
        yield f"{from_key} AND ({order.key} {beyond} ? OR id {beyond} ?)", [after.key, after.key, after.run_id]
    if order.may_be_missing:
        if after is None or after.key is not None:
            yield f"{order.column} IS NULL", []
        else:
            yield f"{order.column} IS NULL AND id {beyond} ?", [after.run_id]


def _rows(db: Connection, which: RunFilter, order: SortOrder, where: str, values: list[Any], most: int) -> list[Row]:
    filters, wanted = _filters(which)
    direction = "DESC" if which.sort.startswith("-") else "ASC"
    in_order = f"ORDER BY {order.key} {direction}, id {direction}"
    ids = f"SELECT id FROM runs WHERE {' AND '.join([where, *filters])} {in_order} LIMIT ?"  # noqa: S608 - constants of this module
    query = f"SELECT * FROM runs WHERE id IN ({ids}) {in_order}"  # noqa: S608
    return db.execute(query, (*values, *wanted, most)).fetchall()


def _filters(which: RunFilter) -> tuple[list[str], list[Any]]:
    asked = {
        "+state = ?": which.state,  # the plus prevents SQLite from using another index than that of the order
        "+model = ?": which.model,
        "+verdict_status = ?": which.verdict,
        "+server_id = ?": which.server_id,
        "instr(lower(label), lower(?)) > 0": which.label or None,
    }
    given = {condition: value for condition, value in asked.items() if value is not None}
    return [*given], [*given.values()]


# --- cursors ---------------------------------------------------------------------------------------------------------


def _make_cursor(sort: str, key: str | float | None, run_id: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([sort, key, run_id]).encode()).decode()


def _parse_cursor(cursor: str, sort: str, order: SortOrder) -> PageStart:
    try:
        made_for, key, run_id = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
        if made_for != sort or type(run_id) is not int or not abs(run_id) < 2**63 or not _is_key(key, order):
            raise ValueError
    except (binascii.Error, ValueError, TypeError):
        message = "is not a cursor for this sort order"
        raise Invalid(f"cursor: {message}", errors=[FieldError("cursor", message)]) from None
    return PageStart(key, run_id)


def _is_key(key: Any, order: SortOrder) -> bool:
    if key is None:
        return order.may_be_missing
    if order.kind is str:
        return isinstance(key, str) and key.isprintable()
    return type(key) is float and math.isfinite(key)
