"""What tests of servers share: a peer that speaks the protocol through a plain socket, and waiting for a condition."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pydantic import TypeAdapter

from coreserver.config.server import ServerOptions
from coreserver.hosting.host import ServerHost, host_for
from coreserver.models import ServerConfig

PATIENCE_S = 10.0  # generous: it only bounds how long a failing test takes

_config: TypeAdapter[ServerOptions] = TypeAdapter(ServerConfig)


def server_config(model: str, **options: Any) -> ServerOptions:
    """A checked configuration of `model`."""
    return _config.validate_python({"model": model, **options})


@contextmanager
def running(model: str, **options: Any) -> Iterator[ServerHost]:
    """A started server, stopped at the end."""
    host = host_for(server_config(model, **options))
    host.start()
    try:
        yield host
    finally:
        host.stop()


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = PATIENCE_S) -> None:
    """Poll until `condition` holds; fails with `what` after `deadline_s`."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {deadline_s:g} s: {what}")
        time.sleep(0.002)


def oracle(stream: bytes) -> bytes:
    """The reply to a whole stream, byte by byte as the protocol is told."""
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
    """A client of one connection; every wait is bounded by PATIENCE_S."""

    def __init__(self, host: ServerHost, *, receive_buffer: int | None = None) -> None:
        address = host.address
        assert address is not None
        self._asked = bytearray()
        self.sock = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE_S)
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

    def greeted(self) -> Peer:
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
            self.sock.settimeout(PATIENCE_S)

    def send(self, data: bytes) -> None:
        """Hand over all of `data`."""
        self.sock.sendall(data)

    def receive(self, count: int) -> bytes:
        """Exactly `count` bytes, fewer only at the end of the stream."""
        data = bytearray()
        while len(data) < count and (piece := self.sock.recv(count - len(data))):
            data += piece
        return bytes(data)

    def ask(self, data: bytes) -> bytes:
        """Send `data` and return as many bytes as the protocol owes for it, after what `ask` sent before."""
        owed_before = len(oracle(bytes(self._asked)))
        self._asked += data
        self.send(data)
        return self.receive(len(oracle(bytes(self._asked))) - owed_before)

    def ask_inside(self, data: bytes) -> bytes:
        """Send `data`, free of `$`, within an open message and return its answer."""
        self.send(data)
        return self.receive(len(data))

    def receive_to_end(self) -> bytes:
        """Everything until the peer closes or resets."""
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


def is_refused(host: ServerHost) -> bool:
    """Whether a connect to the server's last address is refused at once."""
    try:
        Peer(host).sock.close()
    except ConnectionRefusedError:
        return True
    return False


def assert_healthy(host: ServerHost) -> None:
    """A fresh client is greeted and answered right within a second, and every connection is accounted for."""
    subscription = host.subscribe()
    with Peer(host) as probe:
        name = tuple(probe.sock.getsockname()[:2])
        assert probe.is_greeted_within(1.0)
        assert probe.ask(b"^ping$") == b"qjoh"
    # The records of another process come a little later, in order: the probe's is the last.
    wait_until(lambda: any(record.peer == name for record in subscription.take()), "the probe's record has come")
    host.unsubscribe(subscription)
    wait_until(lambda: host.snapshot().totals.active == 0, "every connection has ended")
    assert_conserved(host)


def assert_conserved(host: ServerHost) -> None:
    """accepted = active + the sum of outcomes."""
    totals = host.snapshot().totals
    assert totals.accepted == totals.active + sum(totals.outcomes.values())
