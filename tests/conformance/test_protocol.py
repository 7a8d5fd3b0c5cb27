"""The protocol over real sockets: every model gives the same replies, wherever the stream is cut into reads."""

from __future__ import annotations

import random
import socket
from functools import cache

import pytest

from coreserver.hosting.host import ServerHost
from tests.conformance.conftest import StartServer
from tests.support.servers import Peer, assert_healthy, oracle, wait_until

pytestmark = pytest.mark.per_protocol("the bytes of replies")


@pytest.mark.every_case
def test_article_script_is_answered(server: ServerHost) -> None:
    with Peer(server) as peer:
        peer.wait_greeted()
        assert peer.ask(b"^abc$de^abte$f") == b"bcdbcuf"
        assert peer.ask(b"xyz^123") == b"234"
        assert peer.ask(b"25$^ab0000$abab") == b"36bc1111"
    assert_healthy(server)


def test_single_bytes_get_the_same_reply(server: ServerHost) -> None:
    stream = b"noise^ab$^$x^^a$$^1"
    with Peer(server) as peer:
        peer.wait_greeted()
        for position in range(len(stream)):
            peer.send(stream[position : position + 1])
        assert peer.receive(len(oracle(stream))) == oracle(stream)


def test_every_byte_value_is_answered(server: ServerHost) -> None:
    payload = bytes(byte for byte in range(256) if byte != ord("$"))
    with Peer(server) as peer:
        peer.wait_greeted()
        assert peer.ask(b"^" + payload + b"$") == bytes((byte + 1) % 256 for byte in payload)


def test_random_streams_equal_the_oracle(server: ServerHost) -> None:
    for seed in range(5):
        send_in_pieces(server, random.Random(seed))


def send_in_pieces(server: ServerHost, rng: random.Random) -> None:
    with Peer(server) as peer:
        peer.wait_greeted()
        stream = b"".join(rng.choice([b"^", b"$", b"\xff", b"ab", rng.randbytes(50)]) for _ in range(300))
        position = 0
        while position < len(stream):
            cut = position + rng.randint(1, 40)
            peer.send(stream[position:cut])
            position = cut
        assert peer.receive(len(oracle(stream))) == oracle(stream)


@pytest.mark.every_case
def test_half_closed_peer_gets_every_reply(server: ServerHost) -> None:
    size = 3_000_000  # more than the kernel takes of the reply before the peer begins to read
    with Peer(server, receive_buffer=65536) as peer:
        peer.send(b"^" + b"a" * size)
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.receive_to_end() == b"*" + b"b" * size
    wait_until(lambda: server.snapshot().totals.outcomes["completed"] == 1, "the session has completed")


@cache
def large_message() -> tuple[bytes, bytes]:
    """Return the payload of a message of three megabytes and its reply; the oracle needs half a second for it."""
    payload = random.Random(1).randbytes(3_000_000).replace(b"$", b"%")
    return payload, oracle(b"^" + payload)


def test_large_message_is_answered_whole(server: ServerHost) -> None:
    payload, reply = large_message()
    with Peer(server) as peer:
        peer.wait_greeted()
        received = bytearray()
        for start in range(0, len(payload), 50_000):
            piece = payload[start : start + 50_000]
            peer.send((b"^" if start == 0 else b"") + piece)
            received += peer.receive(len(piece))
        assert received == reply


@pytest.mark.parametrize(
    "options",
    [{"reply": "per_byte"}, {"nodelay": False}, {"read_bytes": 1}, {"backlog": 1}],
    ids=["per_byte", "delayed", "small_reads", "short_backlog"],
)
def test_options_never_change_the_reply(start: StartServer, options: dict[str, object]) -> None:
    server = start(**options)
    with Peer(server) as peer:
        peer.wait_greeted()
        assert peer.ask(b"x^hello$y^world$") == b"ifmmpxpsme"
    assert_healthy(server)
