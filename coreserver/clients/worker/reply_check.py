"""The check of what comes back: every reply byte against what the protocol owes, and the messages it completes."""

from __future__ import annotations

from collections import deque

from coreserver.records.message_columns import MessageColumns

_SHOWN_BYTES = 16


class Replies:
    """The replies one connection is owed; feed it what was sent for and what came."""

    __slots__ = ("_at", "_came", "_columns", "_owed", "_unverified")

    def __init__(self, columns: MessageColumns) -> None:
        self._columns = columns
        self._owed = b""
        self._at = 0  # so much of it has come
        self._came = 0  # reply bytes that came and were right before all of `_owed`
        self._unverified: deque[tuple[int, int]] = deque()  # (its reply ends at, row of the message)

    @property
    def owed(self) -> int:
        """Reply bytes still to come."""
        return len(self._owed) - self._at

    @property
    def came(self) -> int:
        """Reply bytes that came and were right."""
        return self._came + self._at

    def owe(self, reply: bytes) -> None:
        """`reply` follows what was owed before."""
        self._owed = self._owed[self._at :] + reply
        self._came += self._at
        self._at = 0

    def owe_alone(self, reply: bytes) -> None:
        """`reply`, all before having come, whether it was shown here or only compared by the caller."""
        self._came += len(self._owed)
        self._owed = reply
        self._at = 0

    def all_came(self) -> None:
        """All that was owed has come and was compared by the caller; no message is to be stamped."""
        self._at = len(self._owed)

    def verify(self, row: int, reply_end: int) -> None:
        """Stamp the message of `row`, just sent, when reply byte `reply_end` of the connection has come."""
        self._unverified.append((reply_end, row))

    def take(self, data: bytes, at_ns: int) -> str | None:
        """Take `data`, which came at `at_ns`, off what is owed; None when it was right, else what was wrong."""
        right = len(data) if self._owed.startswith(data, self._at) else self._right_bytes(data)
        self._at += right
        came = self._came + self._at
        while self._unverified and self._unverified[0][0] <= came:
            self._columns.answered(self._unverified.popleft()[1], at_ns)
        if right == len(data):
            return None
        expected = shown(self._owed[self._at :]) if self.owed else "nothing"
        return f"reply byte {came + 1}: expected {expected}, saw {shown(data[right:])}"

    def _right_bytes(self, data: bytes) -> int:
        pairs = zip(data, self._owed[self._at :], strict=False)
        return next((at for at, (saw, owed) in enumerate(pairs) if saw != owed), min(len(data), self.owed))


def shown(data: bytes) -> str:
    """The first bytes of `data`, for a person."""
    return f"{bytes(data[:_SHOWN_BYTES])!r}{'…' if len(data) > _SHOWN_BYTES else ''}"
