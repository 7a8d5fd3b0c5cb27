"""The article's echo protocol as an engine: bytes in, bytes out, no socket and no clock.

The server greets with `*`. Outside a message it ignores every byte until `^`. Inside, it answers every byte with that
byte plus one (modulo 256) until `$`, which ends the message and has no answer. `^` inside a message is data; `$`
outside is ignored. The stream may be cut anywhere.

The engine works on whole buffers with operations that run at C speed: one `bytes.translate` answers any number of
bytes, and one compiled pattern splits a buffer into payloads. A loop per byte is 10 to 40 times slower on all but the
shortest buffers (`benchmarks/protocol.py`), so the lab would measure its own parser instead of server designs. For long
payloads `translate` is too slow as well: it looks up every byte, while numpy adds to dozens in one instruction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

GREETING = b"*"

_PLUS_ONE = bytes((byte + 1) & 0xFF for byte in range(256))
_LONG = 1024  # from this size on two more copies cost less than the pattern
_VECTOR = 2048  # from this size on numpy, a fixed 2 µs, costs less than a lookup per byte
_ONE = np.uint8(1)
_payloads = re.compile(rb"\^([^$]*)").findall
_join = b"".join


def _plus_one(data: bytes) -> bytes:  # inlined for single short messages, to save the call
    return data.translate(_PLUS_ONE) if len(data) < _VECTOR else _long_plus_one(data)


def _long_plus_one(data: bytes) -> bytes:
    return (np.frombuffer(data, np.uint8) + _ONE).tobytes()  # modulo 256, as uint8 does


class ProtocolEngine:
    """Protocol state of one connection: feed it the bytes received, in order, and send the bytes that it returns.

    Every stream is valid, so no method raises. The engine does no I/O, reads no clock and has no lock: one thread at a
    time may use it. It keeps no input, so a message of any length needs no memory.

    Attributes:
        in_message: whether the stream is between a `^` and its `$`.
        messages_finished: messages ended by their `$` so far.
    """

    __slots__ = ("in_message", "messages_finished")

    def __init__(self) -> None:
        self.in_message = False
        self.messages_finished = 0

    def receive(self, data: bytes) -> bytes:
        """Return the reply to the next bytes of the stream; it may be empty."""
        if self.in_message:
            return self._receive_inside(data)
        if data.endswith(b"$") and data.startswith(b"^"):
            # The two usual cases, each answered in one step. One message: its first `$` is the last byte.
            if data.find(b"$") == len(data) - 1:
                self.messages_finished += 1
                payload = data[1:-1]
                return payload.translate(_PLUS_ONE) if len(payload) < _VECTOR else _long_plus_one(payload)
            # Messages back to back: as many `^` as `$`, and every `$` except the last followed by `^`. So no `^` is
            # data, and no byte is outside a message.
            ends = data.count(b"$")
            if data.count(b"^") == ends and data.count(b"$^") == ends - 1:
                self.messages_finished += ends
                return data.translate(_PLUS_ONE, b"^$")
        elif len(data) > _LONG and 0 < (cut := data.rfind(b"$") + 1) < len(data):
            # A long buffer that ends inside a message: its whole messages are the usual case.
            return self.receive(data[:cut]) + self.receive(data[cut:])
        payloads = _payloads(data)
        self.messages_finished += len(payloads)
        # Only the last payload can lack its `$`; it does if the last `^` comes after the last `$`.
        if data.rfind(b"^") > data.rfind(b"$"):
            self.in_message = True
            self.messages_finished -= 1
        payload = _join(payloads)
        return payload.translate(_PLUS_ONE) if len(payload) < _VECTOR else _long_plus_one(payload)

    def _receive_inside(self, data: bytes) -> bytes:
        end = data.find(b"$")
        if end < 0:
            return _plus_one(data)
        self.in_message = False
        self.messages_finished += 1
        head = _plus_one(data[:end])
        return head if end + 1 == len(data) else head + self.receive(data[end + 1 :])

    def receive_by_message(self, data: bytes) -> Iterator[tuple[bool, bytes]]:
        """Yield the reply in one piece per message: (whether the piece begins a message, its reply bytes).

        For servers with work per message: they do the work when a message begins, before its first reply byte. A
        message is counted when its piece is taken from the iterator.
        """
        position = 0
        while position < len(data):
            opens = not self.in_message
            start = data.find(b"^", position) if opens else position
            if start < 0:
                return
            end = data.find(b"$", start)
            stop = len(data) if end < 0 else end + 1
            yield opens, self.receive(data[start:stop])
            position = stop
