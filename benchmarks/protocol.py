"""Compare the protocol engine with a per-byte loop: MB/s of both, and their ratio.

Run `make bench`, or `python -m benchmarks.protocol`. Both process the same buffers in alternating rounds of one
process, and the figures are those of the median round, so that a slower machine slows both. Rows without a target show
the least favourable input for the engine: one small message per buffer, where the cost of the call dominates.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coreserver.protocols.article import ProtocolEngine

ROUNDS = 15
ROUND_BYTES = 1_000_000  # about 40 ms of the per-byte loop
RECV_BYTES = 65_536

Receive = Callable[[bytes], bytes]


class PerByte:
    """Per-byte state machine, as fast as a loop in Python allows."""

    def __init__(self) -> None:
        self.in_message = False
        self.messages_finished = 0

    def receive(self, data: bytes) -> bytes:
        """Return the reply to the next bytes of the stream."""
        reply = bytearray()
        in_message = self.in_message
        for byte in data:
            if in_message:
                if byte == 0x24:
                    in_message = False
                    self.messages_finished += 1
                else:
                    reply.append((byte + 1) & 0xFF)
            elif byte == 0x5E:
                in_message = True
        self.in_message = in_message
        return bytes(reply)


@dataclass(frozen=True)
class Case:
    """A stream, split into the buffers that a server would receive, and the ratio that the engine should reach."""

    name: str
    buffers: Sequence[bytes]
    target: float | None


def message(payload_bytes: int) -> bytes:
    """Return one message whose payload has every byte value except the delimiters."""
    values = bytes(value for value in range(256) if value not in b"^$")
    return b"^" + (values * (payload_bytes // len(values) + 1))[:payload_bytes] + b"$"


def one_by_one(data: bytes) -> list[bytes]:
    """Return buffers that each contain the one message `data`."""
    return [data] * max(1, ROUND_BYTES // len(data))


def back_to_back(data: bytes) -> list[bytes]:
    """Return a stream of messages without pauses, split where `recv` would split it, mostly inside a message."""
    stream = data * (ROUND_BYTES // len(data))
    return [stream[start : start + RECV_BYTES] for start in range(0, len(stream), RECV_BYTES)]


CASES = (
    Case("64 KB payload", one_by_one(message(65_536)), 25.0),
    Case("16-byte payloads, back to back", back_to_back(message(16)), 8.0),
    Case("2-byte payloads, back to back", back_to_back(message(2)), 1.5),
    Case("^abc$de^abte$f in one buffer", one_by_one(b"^abc$de^abte$f"), 0.9),
    Case("16-byte payload, one per buffer", one_by_one(message(16)), None),
    Case("2-byte payload, one per buffer", one_by_one(message(2)), None),
)


def round_s(receive: Receive, buffers: Sequence[bytes]) -> float:
    """Return the seconds that all buffers take."""
    began = time.perf_counter()
    for data in buffers:
        receive(data)
    return time.perf_counter() - began


def measure(buffers: Sequence[bytes]) -> tuple[float, float]:
    """Return the median seconds of a round, for the engine and for the loop."""
    engine, loop = ProtocolEngine().receive, PerByte().receive
    if b"".join(map(engine, buffers)) != b"".join(map(loop, buffers)):
        raise AssertionError("engine and per-byte loop return different replies")
    rounds = [(round_s(engine, buffers), round_s(loop, buffers)) for _ in range(ROUNDS)]
    engine_s, loop_s = zip(*rounds, strict=True)
    return statistics.median(engine_s), statistics.median(loop_s)


def main() -> None:
    """Print the table."""
    gc.disable()
    print(f"{'':32} {'engine MB/s':>12} {'per byte MB/s':>14} {'ratio':>7}   target")
    for case in CASES:
        engine_s, loop_s = measure(case.buffers)
        megabytes = sum(map(len, case.buffers)) / 1e6
        ratio = loop_s / engine_s
        verdict = "" if case.target is None else f"{case.target:g}x {'reached' if ratio >= case.target else 'MISSED'}"
        print(
            f"{case.name:32} {megabytes / engine_s:12.1f} {megabytes / loop_s:14.1f} {ratio:6.2f}x   {verdict}".rstrip()
        )


if __name__ == "__main__":
    main()
