"""Helpers for tests of servers: a client over a plain socket, and waiting for a condition."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pydantic import TypeAdapter

from coreserver.config.server import ServerOptions
from coreserver.hosting.host import ServerHost, host_for
from coreserver.models import ServerConfig

DEADLINE_S = 20.0  # only bounds how long a failing test takes, also on a busy machine

_config: TypeAdapter[ServerOptions] = TypeAdapter(ServerConfig)


def server_config(model: str, **options: Any) -> ServerOptions:
    """Return a checked configuration of `model`."""
    return _config.validate_python({"model": model, **options})


@contextmanager
def running(model: str, **options: Any) -> Iterator[ServerHost]:
    """Start a server, and stop it at the end."""
    host = host_for(server_config(model, **options))
    host.start()
    try:
        yield host
    finally:
        host.stop()


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll until `condition` holds; fail with `what` after `deadline_s`."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {deadline_s:g} s: {what}")
        time.sleep(0.002)


def oracle(stream: bytes) -> bytes:
    """Return the reply to a whole stream, computed byte by byte from the definition of the protocol."""
    reply = bytearray()
    inside = False
    for byte in stream:
        if not inside:
            inside = byte == ord("^")
        elif byte == ord("$"):
            inside = False
        else:
            reply.append((byte + 1) % 256)
    return bytes(reply)


class Peer:
    """A client with one connection; DEADLINE_S bounds every wait."""

    def __init__(self, host: ServerHost, *, receive_buffer: int | None = None) -> None:
        address = host.address
        assert address is not None
        self._asked = bytearray()
        self.sock = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(DEADLINE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock.connect(address)
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def wait_greeted(self) -> Peer:
        """Wait for the greeting."""
        assert self.sock.recv(1) == b"*"
        return self

    def is_greeted_within(self, seconds: float) -> bool:
        """Whether the greeting comes in time."""
        self.sock.settimeout(seconds)
        try:
            return self.sock.recv(1) == b"*"
        except TimeoutError:
            return False
        finally:
            self.sock.settimeout(DEADLINE_S)

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self.sock.sendall(data)

    def receive(self, count: int) -> bytes:
        """Return exactly `count` bytes, fewer only at the end of the stream."""
        data = bytearray()
        while len(data) < count and (piece := self.sock.recv(count - len(data))):
            data += piece
        return bytes(data)

    def ask(self, data: bytes) -> bytes:
        """Send `data` and return the whole reply to it, as part of the stream that `ask` has sent so far."""
        owed_before = len(oracle(bytes(self._asked)))
        self._asked += data
        self.send(data)
        return self.receive(len(oracle(bytes(self._asked))) - owed_before)

    def ask_inside(self, data: bytes) -> bytes:
        """Send `data`, free of `$`, inside an open message and return the reply."""
        self.send(data)
        return self.receive(len(data))

    def receive_to_end(self) -> bytes:
        """Return everything until the server closes or resets the connection."""
        data = bytearray()
        with suppress(ConnectionResetError):
            while piece := self.sock.recv(65536):
                data += piece
        return bytes(data)

    def reset(self) -> None:
        """Close with a reset instead of a FIN."""
        with suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def wait_next_greeted(peers: Sequence[Peer]) -> Peer:
    """Wait until any of `peers` is greeted and return it: the order in which they are served is the server's choice."""
    readable, _, _ = select.select([peer.sock for peer in peers], [], [], DEADLINE_S)
    assert readable, f"none of {len(peers)} clients was greeted within {DEADLINE_S:g} s"
    return next(peer for peer in peers if peer.sock is readable[0]).wait_greeted()


def is_refused(host: ServerHost) -> bool:
    """Whether a connect to the server's last address is refused."""
    try:
        Peer(host).sock.close()
    except ConnectionRefusedError:
        return True
    return False


def assert_healthy(host: ServerHost) -> None:
    """Check that a new client is greeted and gets the right reply, and that every connection is accounted for."""
    subscription = host.subscribe()
    with Peer(host) as probe:
        name = tuple(probe.sock.getsockname()[:2])
        probe.wait_greeted()
        assert probe.ask(b"^ping$") == b"qjoh"
    # The records of another process come a little later, in order: the probe's is the last.
    wait_until(lambda: any(record.peer == name for record in subscription.take()), "the probe's record has come")
    host.unsubscribe(subscription)
    wait_until(lambda: host.snapshot().totals.active == 0, "every connection has ended")
    assert_conserved(host)


def assert_conserved(host: ServerHost) -> None:
    """Check that accepted = active + the sum of outcomes."""
    totals = host.snapshot().totals
    assert totals.accepted == totals.active + sum(totals.outcomes.values())
