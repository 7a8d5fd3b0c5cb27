"""The check of what comes back: every reply byte against what the protocol owes, and the messages it completes."""

from __future__ import annotations

from collections import deque

from coreserver.clients.records import MessageRecord

_SHOWN_BYTES = 16


class Replies:
    """The replies one connection is owed; feed it what was sent for and what came."""

    def __init__(self) -> None:
        self._owed = bytearray()
        self._came = 0  # reply bytes that came and were right
        self._unverified: deque[tuple[int, MessageRecord]] = deque()  # (its reply ends at, message)

    @property
    def owed(self) -> int:
        """Reply bytes still to come."""
        return len(self._owed)

    def owe(self, reply: bytes) -> None:
        """`reply` follows what was owed before."""
        self._owed += reply

    def verify(self, message: MessageRecord, reply_end: int | None) -> None:
        """Stamp `message`, just sent, when reply byte `reply_end` has come; None: it has no reply and is right now."""
        if reply_end is None:
            message.replied_ns = message.sent_ns
        else:
            self._unverified.append((reply_end, message))

    def take(self, data: bytes, at_ns: int) -> str | None:
        """Take `data`, which came at `at_ns`, off what is owed; None when it was right, else what was wrong."""
        right = len(data) if self._owed.startswith(data) else self._right_bytes(data)
        del self._owed[:right]
        self._came += right
        while self._unverified and self._unverified[0][0] <= self._came:
            self._unverified.popleft()[1].replied_ns = at_ns
        if right == len(data):
            return None
        expected = shown(self._owed) if self._owed else "nothing"
        return f"reply byte {self._came + 1}: expected {expected}, saw {shown(data[right:])}"

    def _right_bytes(self, data: bytes) -> int:
        pairs = zip(data, self._owed, strict=False)
        return next((at for at, (saw, owed) in enumerate(pairs) if saw != owed), min(len(data), len(self._owed)))


def shown(data: bytes | bytearray) -> str:
    """The first bytes of `data`, for a person."""
    return f"{bytes(data[:_SHOWN_BYTES])!r}{'…' if len(data) > _SHOWN_BYTES else ''}"
