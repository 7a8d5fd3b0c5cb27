"""Check of replies: every byte is compared with the protocol, and the time of each complete reply is recorded."""

from __future__ import annotations

from collections import deque

from coreserver.records.message_columns import MessageColumns

MAX_QUOTED_BYTES = 16


class Replies:
    """Expected replies of one connection. Call `owe` for each send and `check` for each receive."""

    __slots__ = ("_at", "_columns", "_owed", "_received", "_unstamped")

    def __init__(self, columns: MessageColumns) -> None:
        self._columns = columns
        self._owed = b""
        self._at = 0  # bytes of `_owed` that were received
        self._received = 0  # correct reply bytes before `_owed`
        self._unstamped: deque[tuple[int, int]] = deque()  # (end of the reply, row of the message)

    @property
    def owed(self) -> int:
        """Number of expected reply bytes that were not received yet."""
        return len(self._owed) - self._at

    @property
    def received(self) -> int:
        """Number of correct reply bytes so far."""
        return self._received + self._at

    def owe(self, reply: bytes) -> None:
        """Add `reply` to the expected bytes."""
        self._owed = self._owed[self._at :] + reply
        self._received += self._at
        self._at = 0

    def owe_only(self, reply: bytes) -> None:
        """Expect only `reply`. The caller has received and compared everything that was expected before."""
        self._received += len(self._owed)
        self._owed = reply
        self._at = 0

    def settle(self) -> None:
        """Expect nothing more. The caller has compared the rest, and no message waits for its time stamp."""
        self._at = len(self._owed)

    def stamp_at(self, row: int, reply_end: int) -> None:
        """Record the reply time of message `row`, just sent, when reply byte `reply_end` is received."""
        self._unstamped.append((reply_end, row))

    def check(self, data: bytes, at_ns: int) -> str | None:
        """Compare `data`, received at `at_ns`, with the expected bytes; return the first difference, or None."""
        right = len(data) if self._owed.startswith(data, self._at) else self._count_right(data)
        self._at += right
        received = self._received + self._at
        while self._unstamped and self._unstamped[0][0] <= received:
            self._columns.mark_answered(self._unstamped.popleft()[1], at_ns)
        if right == len(data):
            return None
        expected = quote(self._owed[self._at :]) if self.owed else "nothing"
        return f"reply byte {received + 1}: expected {expected}, received {quote(data[right:])}"

    def _count_right(self, data: bytes) -> int:
        pairs = zip(data, self._owed[self._at :], strict=False)
        return next((at for at, (actual, owed) in enumerate(pairs) if actual != owed), min(len(data), self.owed))


def quote(data: bytes) -> str:
    """Return the first bytes of `data` as text for an error message."""
    return f"{bytes(data[:MAX_QUOTED_BYTES])!r}{'…' if len(data) > MAX_QUOTED_BYTES else ''}"
