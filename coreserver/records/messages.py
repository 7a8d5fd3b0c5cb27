"""Messages of a run as columns of numbers, and those of one connection as a view of the columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from coreserver.records.client import ClientRecord, MessageRecord
from coreserver.records.message_columns import NOT_ANSWERED, WIDTH

Stamps = NDArray[np.int64]


@dataclass(frozen=True)
class MessageTable:
    """Columns with one entry per message, by connection and, within a connection, in the order of sending.

    `connection` is the index of the message's connection, `warm_up` whether the message was due before the end of its
    group's warm-up, `is_first` whether it is the first of its connection. `replied_ns` is NOT_ANSWERED if no correct
    reply was received.
    """

    connection: Stamps
    due_ns: Stamps
    sent_ns: Stamps
    replied_ns: Stamps
    warm_up: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.due_ns)

    @property
    def is_answered(self) -> NDArray[np.bool_]:
        """Mask of the messages whose whole reply was received."""
        return np.not_equal(self.replied_ns, NOT_ANSWERED)

    @property
    def is_first(self) -> NDArray[np.bool_]:
        """Mask of the messages that are the first of their connection."""
        first = np.ones(len(self), dtype=np.bool_)
        first[1:] = self.connection[1:] != self.connection[:-1]
        return first


class Messages(Sequence[MessageRecord]):
    """Messages of one connection: rows `start` to `stop` of an array that all connections share."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Stamps) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[MessageRecord]:
        for _, due_ns, sent_ns, replied_ns in self._rows.tolist():
            yield MessageRecord(due_ns, sent_ns, None if replied_ns == NOT_ANSWERED else replied_ns)

    @overload
    def __getitem__(self, index: int) -> MessageRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Messages: ...
    def __getitem__(self, index: int | slice) -> MessageRecord | Messages:
        """Return one message, or a view of several."""
        if isinstance(index, slice):
            return Messages(self._rows[index])
        return next(iter(Messages(self._rows[index : index + 1 or None])))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def rows(self) -> Stamps:
        """Return one row per message, in the layout of `MessageColumns`."""
        return self._rows


def rows_of(stamps: array[int] | bytes) -> Stamps:
    """Return the contents of `MessageColumns`, one row per message."""
    rows: Stamps = np.frombuffer(stamps, dtype=np.int64).reshape(-1, WIDTH)
    return rows


def attach(records: Sequence[ClientRecord], stamps: array[int] | bytes) -> None:
    """Assign to each of `records` its messages from `stamps`, in which every fourth number is a record's index."""
    attach_rows(records, rows_of(stamps))


def attach_rows(records: Sequence[ClientRecord], rows: Stamps) -> None:
    """Assign to each of `records` its messages from rows."""
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    ends = np.searchsorted(rows[:, 0], np.arange(len(records)), side="right").tolist()
    start = 0
    for record, end in zip(records, ends, strict=True):
        if end > start:
            record.messages = Messages(rows[start:end])
        start = end


def table_of(clients: Iterable[ClientRecord]) -> MessageTable:
    """Return the messages of `clients` in the order of the clients."""
    clients = list(clients)
    parts = [_own_rows(client.messages) for client in clients]
    counts = [len(part) for part in parts]
    rows = np.concatenate(parts) if parts else np.empty((0, WIDTH), dtype=np.int64)
    measured_from = np.repeat(np.array([client.measured_from_ns for client in clients], dtype=np.int64), counts)
    return MessageTable(
        connection=np.repeat(np.arange(len(clients), dtype=np.int64), counts),
        due_ns=rows[:, 1].copy(),
        sent_ns=rows[:, 2].copy(),
        replied_ns=rows[:, 3].copy(),
        warm_up=rows[:, 1] < measured_from,
    )


def _own_rows(messages: Sequence[MessageRecord]) -> Stamps:
    if isinstance(messages, Messages):
        return messages.rows
    listed: list[Any] = [
        (0, m.due_ns, m.sent_ns, NOT_ANSWERED if m.replied_ns is None else m.replied_ns) for m in messages
    ]
    return np.array(listed, dtype=np.int64).reshape(-1, WIDTH)
