"""The messages of a client process as they happen: numbers in one growing array, no object a message."""

from __future__ import annotations

from array import array

NOT_ANSWERED = -1
WIDTH = 4  # connection, due_ns, sent_ns, replied_ns
REPLIED = 3


class MessageColumns:
    """Rows of (connection, due, sent, replied); a hundred thousand a second cost little more than their 32 bytes.

    `stamps` is open to players whose every microsecond counts: a row is `WIDTH` numbers that begin at its `row`.
    """

    def __init__(self) -> None:
        self.stamps = array("q")

    def __len__(self) -> int:
        return len(self.stamps) // WIDTH

    def add(self, connection: int, due_ns: int, sent_ns: int) -> int:
        """A message that was just sent; its row."""
        row = len(self.stamps)
        self.stamps.extend((connection, due_ns, sent_ns, NOT_ANSWERED))
        return row

    def answered(self, row: int, at_ns: int) -> None:
        """The last byte of its reply came at `at_ns`, and all of it was right."""
        self.stamps[row + REPLIED] = at_ns
