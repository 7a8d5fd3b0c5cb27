"""The target of the clients, and the source addresses from which they connect."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from coreserver.clients.allowed_targets import refusal
from coreserver.errors import ConfigError

MAX_PER_SOURCE_ADDRESS = 10_000  # above about 14,000 the kernel needs more and more time to find a free port
SOURCE_ADDRESSES = 250  # 127.0.0.1 to 127.0.0.250
_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h; in the socket module since Python 3.12


class ClientTarget:
    """The numeric target address. Clients connect to an IPv4 loopback address from 127.0.0.1, 127.0.0.2 … in turn.

    Process number `process` of `processes` uses every n-th source address, so that no two processes share one.
    """

    def __init__(self, host: str, port: int, *, process: int = 0, processes: int = 1) -> None:
        address = ip_address(host)
        if reason := refusal(address):  # the parent has checked this too
            raise ConfigError(reason, field="address")
        self.sockaddr = (host, port)
        self._family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        self._process, self._processes = process, processes
        self._many_sources = address.version == 4 and address.is_loopback

    def open_socket(self, number: int) -> socket.socket:
        """Return a non-blocking socket for connection `number` (from 0), bound to its source address.

        Raises:
            OSError: there is no descriptor or no address left.
        """
        sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            turn = (number // MAX_PER_SOURCE_ADDRESS * self._processes + self._process) % SOURCE_ADDRESSES
            if turn and self._many_sources:
                # Without this option bind(2) reserves a port; with it connect(2) picks one per destination.
                sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((f"127.0.0.{turn + 1}", 0))
        except OSError:
            sock.close()
            raise
        return sock
