"""The engine gives the same replies as a per-byte oracle, wherever the stream is cut."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations, pairwise, product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coreserver.protocols.article import GREETING, ProtocolEngine

ARTICLE = b"^abc$de^abte$f"


@dataclass
class Oracle:
    """The protocol implemented byte by byte, directly from its definition."""

    in_message: bool = False
    messages_finished: int = 0
    pieces: list[tuple[bool, bytes]] = field(default_factory=list)

    def receive(self, data: bytes) -> bytes:
        """Return the reply to one buffer; `pieces` then has it message by message, as `receive_by_message` does."""
        self.pieces = [(False, b"")] if self.in_message and data else []
        for byte in data:
            if not self.in_message:
                if byte == ord("^"):
                    self.in_message = True
                    self.pieces.append((True, b""))
            elif byte == ord("$"):
                self.in_message = False
                self.messages_finished += 1
            else:
                opens, reply = self.pieces.pop()
                self.pieces.append((opens, reply + bytes([(byte + 1) % 256])))
        return b"".join(reply for _, reply in self.pieces)


def assert_same(buffers: Iterable[bytes]) -> None:
    """Feed the buffers to both methods of the engine and to the oracle, and compare them after every buffer."""
    oracle, whole, by_message = Oracle(), ProtocolEngine(), ProtocolEngine()
    for data in buffers:
        reply = oracle.receive(data)
        assert whole.receive(data) == reply
        assert list(by_message.receive_by_message(data)) == oracle.pieces
        for engine in (whole, by_message):
            assert (engine.in_message, engine.messages_finished) == (oracle.in_message, oracle.messages_finished)


def cut(stream: bytes, at: Iterable[int]) -> list[bytes]:
    """Cut the stream at these positions; equal positions make an empty piece."""
    return [stream[start:stop] for start, stop in pairwise([0, *sorted(at), len(stream)])]


def every_cut(stream: bytes) -> Iterator[list[bytes]]:
    """Yield all 2^(n-1) ways to cut a stream of n bytes."""
    inner = range(1, len(stream))
    return (cut(stream, at) for count in range(len(stream) or 1) for at in combinations(inner, count))


# --- known answers, worked by hand -----------------------------------------------------------------------------------


def test_greeting_is_a_star() -> None:
    assert GREETING == b"*"


@pytest.mark.parametrize(
    ("stream", "reply", "finished", "in_message"),
    [
        (b"", b"", 0, False),
        (b"noise$$", b"", 0, False),
        (b"^", b"", 0, True),
        (b"^$", b"", 1, False),
        (b"$^", b"", 0, True),
        (b"^a", b"b", 0, True),
        (b"^ab$", b"bc", 1, False),
        (b"^\xff\x00$", b"\x00\x01", 1, False),
        (b"^^$", b"_", 1, False),
        (b"^a^b$", b"b_c", 1, False),
        (b"^a$$b$", b"b", 1, False),
        (b"^a$^b$", b"bc", 2, False),
        (b"^a$^^$", b"b_", 2, False),
        (b"^a$x$^b$", b"bc", 2, False),
        (b"^a$^b", b"bc", 1, True),
        (ARTICLE, b"bcdbcuf", 2, False),
    ],
)
def test_known_answers(stream: bytes, reply: bytes, finished: int, in_message: bool) -> None:
    engine = ProtocolEngine()
    assert engine.receive(stream) == reply
    assert (engine.messages_finished, engine.in_message) == (finished, in_message)
    assert_same([stream])


@pytest.mark.parametrize("byte", range(256))
def test_every_byte_inside_and_outside_a_message(byte: int) -> None:
    data = bytes([byte])
    inside = b"" if data == b"$" else bytes([(byte + 1) % 256])
    assert ProtocolEngine().receive(b"^" + data) == inside
    assert_same([b"^", data, data + b"$", data, b"^" + data + b"$" + data])


# --- every way of cutting --------------------------------------------------------------------------------------------


def test_every_cut_of_every_short_stream() -> None:
    # The protocol distinguishes three kinds of bytes, so this covers every path through it up to six bytes.
    for length in range(7):
        for stream in product(b"^$a", repeat=length):
            for buffers in every_cut(bytes(stream)):
                assert_same(buffers)


def test_every_cut_of_the_article_stream() -> None:
    for buffers in every_cut(ARTICLE):
        assert_same(buffers)


TEN_MESSAGES = b"junk^one$^two$$^thr^ee$  $^\xff\x00\xfe$^$^^$^abc$de^abte$f\x00^nine$^$not ended^ten"


def test_ten_messages_cut_in_many_ways() -> None:
    length = len(TEN_MESSAGES)
    for at in combinations(range(length + 1), 2):
        assert_same(cut(TEN_MESSAGES, at))
    for size in range(1, length + 1):
        assert_same(cut(TEN_MESSAGES, range(size, length, size)))


# Among all 256 values Hypothesis rarely draws two delimiters close together, so the second strategy adds them.
STREAMS = st.binary(max_size=200) | st.lists(st.sampled_from([b"^", b"$", b"^$", b"$^", b"a", b"\xff", b"#"])).map(
    b"".join
)


@given(stream=STREAMS, at=st.lists(st.integers(0, 200), max_size=12))
@example(stream=ARTICLE, at=[])
def test_any_stream_cut_anywhere(stream: bytes, at: list[int]) -> None:
    assert_same(cut(stream, [min(position, len(stream)) for position in at]))


@given(payload=st.binary(min_size=1), cut_at=st.integers(min_value=0), many=st.integers(1, 2000))
def test_buffers_larger_than_any_shortcut(payload: bytes, cut_at: int, many: int) -> None:
    stream = b"^" + payload * many + b"$" + payload + b"^" + payload
    assert_same(cut(stream, [cut_at % len(stream)]))


@pytest.mark.parametrize("seed", range(60))
def test_long_streams_in_long_buffers(seed: int) -> None:
    rng = random.Random(seed)
    pieces = [b"^", b"$", b"\xff", b"ab", b"^whole$", rng.randbytes(rng.choice((5, 50, 3000)))]
    stream = b"".join(rng.choices(pieces, k=800))
    assert_same([stream])
    assert_same(cut(stream, sorted(rng.sample(range(len(stream)), 8))))
    assert_same([stream[: stream.rfind(b"$") + 1]])


@pytest.mark.parametrize("head", [b"", b"x", b"$", b"^", b"x$^"])
@pytest.mark.parametrize("body", [b"^ab$", b"^a^b$", b"^ab$x", b"^$", b"$^", b"a", b"^", b"$"])
@pytest.mark.parametrize("tail", [b"", b"^", b"^ab", b"$", b"x", b"x$", b"x^"])
def test_long_buffers_of_every_shape(head: bytes, body: bytes, tail: bytes) -> None:
    # Longer than every threshold of the engine, with every kind of beginning and end.
    stream = head + body * (2500 // len(body)) + tail
    assert_same([stream])
    assert_same([b"^", stream, stream])


@pytest.mark.parametrize("length", [2045, 2046, 2047, 2048, 2049, 2050, 4096, 16_384])
def test_long_payloads_of_every_byte_value(length: int) -> None:
    # Around the size from which the engine uses numpy, and well above.
    payload = (bytes(range(256)).replace(b"$", b"") * 65)[:length]
    stream = b"^" + payload + b"$"
    reply = ProtocolEngine().receive(stream)
    assert reply == bytes((byte + 1) % 256 for byte in payload)
    assert type(reply) is bytes
    assert_same([b"^", payload, b"$", b"^" + payload, payload + b"$"])


def test_ten_thousand_random_conversations() -> None:
    draw = random.Random(12)
    alphabet = b"^^$$" + bytes(range(256))
    for _ in range(10_000):
        messages = [
            bytes(draw.choices(alphabet, k=draw.randrange(4)))  # noise, with delimiters among it
            + b"^"
            + bytes(draw.choices(alphabet, k=draw.randrange(8)))
            + draw.choice([b"$", b"$", b"$", b""])
            for _ in range(draw.randrange(1, 11))
        ]
        stream = b"".join(messages)
        assert_same(cut(stream, draw.choices(range(len(stream) + 1), k=draw.randrange(6))))


# --- message by message ----------------------------------------------------------------------------------------------


def test_message_is_counted_when_taken() -> None:
    engine = ProtocolEngine()
    pieces = engine.receive_by_message(b"^a$^b$")
    assert engine.messages_finished == 0
    assert next(pieces) == (True, b"b")
    assert engine.messages_finished == 1
    assert list(pieces) == [(True, b"c")]
    assert engine.messages_finished == 2


def test_message_in_many_buffers_opens_once() -> None:
    engine = ProtocolEngine()
    opened = [opens for data in (b"x^", b"a", b"", b"b$", b"^") for opens, _ in engine.receive_by_message(data)]
    assert opened == [True, False, False, True]
