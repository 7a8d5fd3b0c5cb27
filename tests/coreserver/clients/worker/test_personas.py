"""Clients that write or read a few bytes at a time, against peers over loopback."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from coreserver.clock import NS_PER_S
from coreserver.protocols.article import GREETING, ProtocolEngine
from coreserver.records.client import ClientOutcome
from tests.support.peers import LoopFactory, played


def test_slow_writer_sends_small_pieces(loop: LoopFactory) -> None:
    pieces: list[bytes] = []

    def listen(sock: socket.socket) -> None:
        sock.sendall(GREETING)
        engine = ProtocolEngine()
        while data := sock.recv(65536):
            pieces.append(data)
            sock.sendall(engine.receive(data))

    group = {"kind": "slow_writer", "bytes_per_s": 50.0, "duration_s": 0.5, "message_bytes": 6}
    (record,) = played(group, talk=listen, loop=loop)
    assert record.outcome is ClientOutcome.COMPLETED
    assert len(pieces) > 10  # of one byte each, or more when the peer was late to read
    assert sum(map(len, pieces)) == record.bytes_sent == 25
    assert len(record.messages) == 3  # of 8 bytes each; the fourth was begun
    assert all(message.replied_ns for message in record.messages)


def test_slow_reader_fills_server_buffers() -> None:
    blocked = threading.Event()

    def push(sock: socket.socket) -> None:
        sock.sendall(GREETING)
        sock.settimeout(0.05)
        engine = ProtocolEngine()
        try:
            while data := sock.recv(65536):
                sock.sendall(engine.receive(data))
        except TimeoutError:
            blocked.set()
            sock.settimeout(5)
            while sock.recv(1 << 20):
                pass

    group = {"kind": "slow_reader", "bytes_per_s": 1000.0, "duration_s": 0.6}
    (record,) = played(group, talk=push)
    assert record.outcome is ClientOutcome.COMPLETED
    assert blocked.is_set()
    assert record.bytes_sent > 50 * record.bytes_received > 0


def test_slow_reading_is_no_timeout() -> None:
    group = {"kind": "slow_reader", "bytes_per_s": 2.5, "duration_s": 0.9, "timeout_s": 0.1}
    (record,) = played(group)
    assert (record.outcome, record.detail) == (ClientOutcome.COMPLETED, "")
    assert record.bytes_received > 1  # the greeting


@pytest.mark.parametrize("kind", ["slow_writer", "slow_reader"])
def test_slow_client_ends_between_steps(kind: str) -> None:
    (record,) = played({"kind": kind, "bytes_per_s": 0.1, "duration_s": 0.1})  # a step is 10 s
    assert record.outcome is ClientOutcome.COMPLETED
    assert record.greeted_ns is not None
    assert record.closed_ns is not None
    assert 0.1 <= (record.closed_ns - record.greeted_ns) / NS_PER_S < 5


def test_slow_reader_with_silent_peer_times_out() -> None:
    def be_silent(sock: socket.socket) -> None:
        sock.sendall(GREETING)
        with contextlib.suppress(OSError):
            while sock.recv(1 << 20):
                pass

    group = {"kind": "slow_reader", "bytes_per_s": 1000.0, "duration_s": 20.0, "timeout_s": 0.3}
    (record,) = played(group, talk=be_silent)
    assert record.outcome is ClientOutcome.TIMED_OUT
    assert record.detail.startswith("no progress for 0.3 s with ")
