"""What the protocol engine costs beside a loop per byte: MB/s of both, and their ratio.

Run `make bench`, or `python -m benchmarks.protocol`. Both ways answer the same buffers in alternating rounds of one
process, and the median round counts, so that a machine that slows down meanwhile slows both. Rows without a target
show the shape that flatters the engine least: one small message a buffer, where the cost of the call is all there is.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coreserver.protocols.article import ProtocolEngine

ROUNDS = 15
ROUND_BYTES = 1_000_000  # some 40 ms of the loop per byte
RECV_BYTES = 65_536

Receive = Callable[[bytes], bytes]


class PerByte:
    """The obvious state machine, written for speed as far as a loop per byte goes."""

    def __init__(self) -> None:
        self.in_message = False
        self.messages_finished = 0

    def receive(self, data: bytes) -> bytes:
        """The reply to the next bytes of the stream."""
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
    """A stream in the buffers a server would receive, and how many times faster the engine ought to be."""

    name: str
    buffers: Sequence[bytes]
    target: float | None


def message(payload_bytes: int) -> bytes:
    """One message whose payload has every byte value but the delimiters."""
    values = bytes(value for value in range(256) if value not in b"^$")
    return b"^" + (values * (payload_bytes // len(values) + 1))[:payload_bytes] + b"$"


def one_by_one(data: bytes) -> list[bytes]:
    """The message alone in its buffer, again and again."""
    return [data] * max(1, ROUND_BYTES // len(data))


def back_to_back(data: bytes) -> list[bytes]:
    """Messages without a pause between them, cut where `recv` would cut them and so mostly inside a message."""
    stream = data * (ROUND_BYTES // len(data))
    return [stream[start : start + RECV_BYTES] for start in range(0, len(stream), RECV_BYTES)]


CASES = (
    Case("64 KB payload", one_by_one(message(65_536)), 25.0),
    Case("16-byte payloads, back to back", back_to_back(message(16)), 8.0),
    Case("2-byte payloads, back to back", back_to_back(message(2)), 1.5),
    Case("^abc$de^abte$f in one buffer", one_by_one(b"^abc$de^abte$f"), 0.9),
    Case("16-byte payload, one a buffer", one_by_one(message(16)), None),
    Case("2-byte payload, one a buffer", one_by_one(message(2)), None),
)


def round_s(receive: Receive, buffers: Sequence[bytes]) -> float:
    """Seconds that all the buffers take."""
    began = time.perf_counter()
    for data in buffers:
        receive(data)
    return time.perf_counter() - began


def measure(buffers: Sequence[bytes]) -> tuple[float, float]:
    """Median seconds of a round: the engine's, the loop's."""
    engine, loop = ProtocolEngine().receive, PerByte().receive
    if b"".join(map(engine, buffers)) != b"".join(map(loop, buffers)):
        raise AssertionError("engine and loop per byte disagree")
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
