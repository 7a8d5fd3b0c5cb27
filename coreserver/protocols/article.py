"""The echo protocol as an engine: bytes in, bytes out, no socket and no clock.

The server greets with `*`. Outside a message every byte is ignored until `^`. Inside, every byte is answered with
itself plus one (modulo 256) until `$`, which ends the message and has no answer. `^` inside is data; `$` outside is
ignored. The stream may be cut anywhere.

The engine works on whole buffers with the interpreter's C-speed operations: one `bytes.translate` answers any number
of bytes, and one compiled pattern cuts a buffer into payloads. A loop per byte is 10 to 40 times slower on all but the
shortest buffers (`benchmarks/protocol.py`), and would make the lab measure its own parser instead of server designs.
So would `translate` with long payloads: it looks every byte up, where numpy adds dozens in one instruction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

GREETING = b"*"

_PLUS_ONE = bytes((byte + 1) & 0xFF for byte in range(256))
_LONG = 1024  # bytes from which two more copies cost less than the pattern
_VECTOR = 2048  # bytes from which numpy, a fixed 2 µs, costs less than looking each up
_ONE = np.uint8(1)
_payloads = re.compile(rb"\^([^$]*)").findall
_join = b"".join


def _plus_one(data: bytes) -> bytes:  # where a short message alone in its buffer comes by, written out: calls cost
    return data.translate(_PLUS_ONE) if len(data) < _VECTOR else _long_plus_one(data)


def _long_plus_one(data: bytes) -> bytes:
    return (np.frombuffer(data, np.uint8) + _ONE).tobytes()  # modulo 256, as uint8 does


class ProtocolEngine:
    """One connection's place in the stream, and the messages it has seen end.

    Attributes:
        in_message: the stream stands between a `^` and its `$`.
        messages_finished: messages ended by their `$` so far.
    """

    __slots__ = ("in_message", "messages_finished")

    def __init__(self) -> None:
        self.in_message = False
        self.messages_finished = 0

    def receive(self, data: bytes) -> bytes:
        """The reply to the next bytes of the stream, whatever their cut; may be empty."""
        if self.in_message:
            return self._receive_inside(data)
        if data.endswith(b"$") and data.startswith(b"^"):
            # The two everyday cases, each answered at one go. One message: its first `$` is the last byte.
            if data.find(b"$") == len(data) - 1:
                self.messages_finished += 1
                payload = data[1:-1]
                return payload.translate(_PLUS_ONE) if len(payload) < _VECTOR else _long_plus_one(payload)
            # Messages back to back: as many `^` as `$` and every `$` but the last followed by `^`, so that no `^` is
            # data and no byte is noise.
            ends = data.count(b"$")
            if data.count(b"^") == ends and data.count(b"$^") == ends - 1:
                self.messages_finished += ends
                return data.translate(_PLUS_ONE, b"^$")
        elif len(data) > _LONG and 0 < (cut := data.rfind(b"$") + 1) < len(data):
            # A long buffer that the cut of the stream ended within a message: the whole ones are an everyday case.
            return self.receive(data[:cut]) + self.receive(data[cut:])
        payloads = _payloads(data)
        self.messages_finished += len(payloads)
        # Only the last payload can lack its `$`; it does if a `^` stands behind every `$`.
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
        """The reply in one piece a message: (whether this piece opens its message, its reply bytes).

        For servers whose messages cost work: the work of a message is done before its first reply byte goes out, so
        they must see where each begins. Each piece is counted when it is taken from the iterator.
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
