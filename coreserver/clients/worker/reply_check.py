"""The check of replies: every byte against what the protocol requires, and the time of each complete reply."""

from __future__ import annotations

from collections import deque

from coreserver.records.message_columns import MessageColumns

MAX_QUOTED_BYTES = 16


class Replies:
    """The replies that one connection is owed. Call `owe` for each send and `check` for each receive."""

    __slots__ = ("_at", "_columns", "_owed", "_received", "_unstamped")

    def __init__(self, columns: MessageColumns) -> None:
        self._columns = columns
        self._owed = b""
        self._at = 0  # bytes of `_owed` that were received
        self._received = 0  # correct reply bytes before `_owed`
        self._unstamped: deque[tuple[int, int]] = deque()  # (end of the reply, row of the message)

    @property
    def owed(self) -> int:
        """Reply bytes still to come."""
        return len(self._owed) - self._at

    @property
    def received(self) -> int:
        """Correct reply bytes so far."""
        return self._received + self._at

    def owe(self, reply: bytes) -> None:
        """Add `reply` to what is owed."""
        self._owed = self._owed[self._at :] + reply
        self._received += self._at
        self._at = 0

    def owe_only(self, reply: bytes) -> None:
        """Owe `reply` alone: the caller knows that everything before was received, and has compared it itself."""
        self._received += len(self._owed)
        self._owed = reply
        self._at = 0

    def settle(self) -> None:
        """Owe nothing: the caller has compared the rest itself. No message may wait for its stamp."""
        self._at = len(self._owed)

    def stamp_at(self, row: int, reply_end: int) -> None:
        """Stamp the message of `row`, just sent, when reply byte `reply_end` of the connection is received."""
        self._unstamped.append((reply_end, row))

    def check(self, data: bytes, at_ns: int) -> str | None:
        """Compare `data`, received at `at_ns`, with what is owed; return None if it is right, else the difference."""
        right = len(data) if self._owed.startswith(data, self._at) else self._count_right(data)
        self._at += right
        received = self._received + self._at
        while self._unstamped and self._unstamped[0][0] <= received:
            self._columns.answered(self._unstamped.popleft()[1], at_ns)
        if right == len(data):
            return None
        expected = quote(self._owed[self._at :]) if self.owed else "nothing"
        return f"reply byte {received + 1}: expected {expected}, saw {quote(data[right:])}"

    def _count_right(self, data: bytes) -> int:
        pairs = zip(data, self._owed[self._at :], strict=False)
        return next((at for at, (saw, owed) in enumerate(pairs) if saw != owed), min(len(data), self.owed))


def quote(data: bytes) -> str:
    """Return the first bytes of `data` as text for a message."""
    return f"{bytes(data[:MAX_QUOTED_BYTES])!r}{'…' if len(data) > MAX_QUOTED_BYTES else ''}"
