"""The listening socket, and the accept loop of the blocking designs.

    accept thread:  wait for the listener or a wake-up ─ accept ─ on_accept(socket, peer) ─ wait …
    other threads:  wake, close

close(2) does not wake a thread that is blocked in accept(2), and the next connection attempt would still succeed. So
the loop waits in a selector for the listener and for a socketpair that wakes it; it never polls.
"""

from __future__ import annotations

import errno
import random
import selectors
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from coreserver.errors import CannotStart, ConfigError, PortInUse
from coreserver.models.shared.base import ServerAddress

# accept(2) reports pending network errors of the new connection and says to treat them like EAGAIN.
TRANSIENT = {
    errno.EAGAIN,
    errno.ECONNABORTED,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENONET,
    errno.ENOPROTOOPT,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EPROTO,
}
EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
PAUSE_S = 0.1  # after EXHAUSTED: without a pause, 475,000 failing accepts per second used a whole core
LINGER_S = 0.1  # how long a refused peer has to read its EOF; closing with unread input would reset it

_LOWEST_PORT = 10240
_TCPI_UNACKED_OFFSET = 24  # struct tcp_info; for a listener it holds the accept queue's length (tcp_get_info)


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """Open a listening, non-blocking socket on `host`; port 0 takes a free port below the ephemeral range.

    A listener on an ephemeral port would let a client that retries a stopped server connect to itself.

    Raises:
        PortInUse: another socket listens on this address and port.
        ConfigError: this machine has no such address.
        CannotStart: there is no descriptor or no free port left.
    """
    if port:
        return _listen_on(host, port, backlog)
    candidates = range(_LOWEST_PORT, max(_first_ephemeral_port(), _LOWEST_PORT + 1))
    for candidate in random.sample(candidates, min(1000, len(candidates))):
        with suppress(PortInUse):
            return _listen_on(host, candidate, backlog)
    raise CannotStart(f"no free port found between {candidates.start} and {candidates.stop - 1}")


def _listen_on(host: str, port: int, backlog: int) -> socket.socket:
    try:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise CannotStart(f"cannot create the listening socket: {error.strerror}") from error
    try:
        # Connections left from an earlier listener must not prevent a restart. Never SO_REUSEPORT: two servers would
        # share the clients without an error.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(backlog)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port) from error
        raise ConfigError(f"cannot listen on {host} port {port}: {error.strerror}", field="host") from error
    return sock


def _first_ephemeral_port() -> int:
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def address_of(listener: socket.socket) -> ServerAddress:
    """Return the address of a bound socket, with the port that it really has."""
    host, port = listener.getsockname()[:2]
    return ServerAddress(host, port)


def accept_queue_length(listener: socket.socket) -> int | None:
    """Return the number of connections in the backlog; None once the listener is closed."""
    try:
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCPI_UNACKED_OFFSET + 4)
    except OSError:
        return None
    length: int = struct.unpack_from("I", info, _TCPI_UNACKED_OFFSET)[0]
    return length


class Waker:
    """A socketpair that wakes a selector from any thread."""

    def __init__(self) -> None:
        self.receiver, self._sender = socket.socketpair()
        self.receiver.setblocking(False)
        self._sender.setblocking(False)

    def wake(self) -> None:
        """Make `receiver` readable; do nothing after `close`."""
        with suppress(OSError):  # full: it is readable already; closed: no selector waits any more
            self._sender.send(b"w")

    def clear(self) -> None:
        """Discard all wake-ups so far. Called by the thread that owns the selector."""
        with suppress(BlockingIOError):
            while self.receiver.recv(4096):
                pass

    def close(self) -> None:
        """Close both ends."""
        self.receiver.close()
        self._sender.close()


class AcceptLoop:
    """Accept loop of the blocking designs: one thread runs `run`, which passes every connection to `on_accept`.

    Transient errors of accept(2) are ignored. When descriptors or memory are exhausted, the loop pauses for PAUSE_S and
    retries. Any other error ends the loop. It never closes a connection except those passed to `refuse`.

    Args:
        listener: a non-blocking listening socket; the loop closes it.
        may_accept: called before each accept; if it returns False, the loop stops accepting until `wake` is called.
        on_accept: called in the loop's thread; must not raise. While it blocks, nothing is accepted; some designs rely
            on this.
        on_pause: called once per shortage, when there is no descriptor or memory for the next connection.
        on_failure: called when accept fails with an error that a retry does not solve; the loop then ends.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        may_accept: Callable[[], bool],
        on_accept: Callable[[socket.socket, tuple[str, int]], None],
        on_pause: Callable[[str], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self.listener = listener
        self._may_accept = may_accept
        self._on_accept = on_accept
        self._on_pause = on_pause
        self._on_failure = on_failure
        self._waker = Waker()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._waker.receiver, selectors.EVENT_READ)
        self._closing = False
        self._lingering: dict[socket.socket, float] = {}  # refused peers, each with its deadline; loop thread only
        self._pausing = False  # the last accept failed for lack of resources
        self._shortage = False  # … and none has succeeded since

    # --- any thread ----------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Make the loop call `may_accept` again."""
        self._waker.wake()

    def close(self) -> None:
        """Refuse new connections, and make `run` return; an `on_accept` call in progress ends first."""
        self._closing = True
        # After shutdown() the kernel refuses immediately, even while the loop's thread is busy; that thread closes the
        # socket.
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self._waker.wake()

    def free(self) -> None:
        """Close every descriptor. Call it only after `run` has returned, or if it never ran."""
        self.listener.close()
        self._selector.close()
        self._waker.close()

    # --- the loop's thread ---------------------------------------------------------------------------------------

    def run(self) -> None:
        """Accept until `close` is called or accept(2) fails; blocks."""
        try:
            while not self._closing:
                self._turn()
        except OSError as error:
            if not self._closing:
                self._on_failure(f"accept failed: {errno.errorcode.get(error.errno or 0, error.errno)}")
        finally:
            for sock in self._lingering:
                sock.close()
            self.listener.close()

    def refuse(self, sock: socket.socket) -> None:
        """Close an accepted connection with a clean EOF. Call it only from `on_accept`.

        Closing immediately would reset the connection of a peer that has already sent data. So the loop first reads and
        discards input for at most LINGER_S.
        """
        with suppress(OSError):
            sock.setblocking(False)
            sock.shutdown(socket.SHUT_WR)
        self._lingering[sock] = time.monotonic() + LINGER_S

    def _turn(self) -> None:
        timeout = self._watch()
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._waker.receiver:
                self._waker.clear()
            elif not self._closing:
                self._accept()
        self._end_lingering()

    def _watch(self) -> float | None:
        """Watch the listener only while the loop may accept; return the timeout of the next wait."""
        watched = len(self._selector.get_map()) == 2
        wanted = not self._pausing and self._may_accept()
        if wanted and not watched:
            self._selector.register(self.listener, selectors.EVENT_READ)
        elif watched and not wanted:
            self._selector.unregister(self.listener)
        if self._pausing:
            self._pausing = False
            return PAUSE_S
        return LINGER_S / 4 if self._lingering else None

    def _accept(self) -> None:
        try:
            sock, peer = self.listener.accept()
        except OSError as error:
            if error.errno in EXHAUSTED:
                if not self._shortage:
                    self._on_pause(f"accept paused: {error.strerror}")
                self._pausing = self._shortage = True
            elif error.errno not in TRANSIENT:
                raise
            return
        self._shortage = False
        self._on_accept(sock, (peer[0], peer[1]))

    def _end_lingering(self) -> None:
        now = time.monotonic()
        for sock, deadline in list(self._lingering.items()):
            if now >= deadline or _discard_input(sock):
                del self._lingering[sock]
                sock.close()


def _discard_input(sock: socket.socket) -> bool:
    """Discard what the peer has sent; return whether it has closed its side."""
    try:
        while sock.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
