"""Locust user that makes the same round trips with a plain socket; `TARGET_PORT` is the port of the server."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

from locust import User, constant, task

PAYLOAD = bytes(ord("a") + number % 25 for number in range(14))
MESSAGE = b"^" + PAYLOAD + b"$"
REPLY = bytes(byte + 1 for byte in PAYLOAD)


class EchoUser(User):
    """One connection that is always busy; every reply is checked."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """Connect and receive the greeting."""
        self._sock = socket.create_connection(("127.0.0.1", int(os.environ["TARGET_PORT"])))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.recv(1)

    @task
    def round_trip(self) -> None:
        """Send one message and receive its reply."""
        began = time.perf_counter()
        self._sock.sendall(MESSAGE)
        reply = b""
        while len(reply) < len(REPLY) and (data := self._sock.recv(4096)):
            reply += data
        wrong: dict[str, Any] = {} if reply == REPLY else {"exception": ValueError(reply)}
        self.environment.events.request.fire(
            request_type="echo",
            name="round trip",
            response_time=1000 * (time.perf_counter() - began),
            response_length=len(reply),
            **wrong,
        )
