"""Messages of a client process while it runs: numbers in one growing array, without an object per message."""

from __future__ import annotations

from array import array

NOT_ANSWERED = -1
WIDTH = 4  # connection, due_ns, sent_ns, replied_ns
REPLIED = 3


class MessageColumns:
    """Rows of (connection, due, sent, replied), each of 32 bytes, because a process may send 100,000 per second.

    Clients for which each microsecond matters write to `stamps` directly; a row has `WIDTH` numbers from its index on.
    """

    def __init__(self) -> None:
        self.stamps = array("q")

    def __len__(self) -> int:
        return len(self.stamps) // WIDTH

    def add(self, connection: int, due_ns: int, sent_ns: int) -> int:
        """Add a message that was just sent and return its row."""
        row = len(self.stamps)
        self.stamps.extend((connection, due_ns, sent_ns, NOT_ANSWERED))
        return row

    def mark_answered(self, row: int, at_ns: int) -> None:
        """Record that the last byte of a correct reply was received at `at_ns`."""
        self.stamps[row + REPLIED] = at_ns
