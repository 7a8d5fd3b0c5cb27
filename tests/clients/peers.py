"""Peers for clients to meet: an honest one, and the frame for those that are not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping

from coreserver.clients.connection import CheckedConnection
from coreserver.clients.records import ClientRecord
from coreserver.clients.tally import Tally
from coreserver.clients.target import Target
from coreserver.clients.timers import Timers
from coreserver.clients.worker import clients_of
from coreserver.clock import now_ns
from coreserver.config import LoadConfig
from coreserver.protocol import GREETING, ProtocolEngine

Talk = Callable[[socket.socket], None]
Address = tuple[str, int]


@contextlib.contextmanager
def peer(talk: Talk) -> Iterator[Address]:
    """The address of a listener that runs `talk` in a thread for each connection, and closes it after."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            talk(sock)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                connections.append(sock)
                threads.append(threading.Thread(target=serve, args=(sock,)))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
        listener.close()
        for sock in connections:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def honest(sock: socket.socket) -> None:
    """Speaks the protocol."""
    sock.sendall(GREETING)
    engine = ProtocolEngine()
    while data := sock.recv(65536):
        sock.sendall(engine.receive(data))


def says(*replies: bytes) -> Talk:
    """Sends the first of `replies` at once and each of the others when something was received; then waits for EOF."""

    def talk(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, reply in enumerate(replies):
            if number and not sock.recv(65536):
                return
            sock.sendall(reply)
        while sock.recv(65536):
            pass

    return talk


def reset(sock: socket.socket) -> None:
    """Close with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def closed_port() -> Address:
    """An address nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: Address = listener.getsockname()
    return address


def script(*steps: Mapping[str, object], **options: object) -> LoadConfig:
    """A load of one script group."""
    return LoadConfig.model_validate({"clients": [{"kind": "script", "script": list(steps), **options}]})


def play(
    target: Target | Address,
    load: LoadConfig,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    on_start: Callable[[Timers, list[CheckedConnection]], None] | None = None,
) -> list[ClientRecord]:
    """The records of `load`, played in this process."""

    async def run() -> list[ClientRecord]:
        timers, tally = Timers(asyncio.get_running_loop()), Tally()
        clients = list(clients_of(load, target if isinstance(target, Target) else Target(*target), timers, tally))
        tally.expect(len(clients))
        started_ns = now_ns()
        for client in clients:
            client.record.due_ns += started_ns
            timers.at(client.record.due_ns, client.start)
        if on_start:
            on_start(timers, clients)
        await tally.wait_all_closed()
        timers.close()
        return [client.record for client in clients]

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(run())
