"""Servers for tests of clients: a correct one and a base for faulty ones; and loads that run in this process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping

from coreserver.clients.schedule import plan_of
from coreserver.clients.worker.context import WorkerContext
from coreserver.clients.worker.counts import ClientCounts
from coreserver.clients.worker.groups import GroupClients, groups_of
from coreserver.clients.worker.loop_timers import LoopTimers
from coreserver.clients.worker.source_addresses import ClientTarget
from coreserver.clock import now_ns
from coreserver.config.load import LoadConfig
from coreserver.protocols.article import GREETING, ProtocolEngine
from coreserver.records.client import ClientRecord
from coreserver.records.messages import attach

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Talk = Callable[[socket.socket], None]
Address = tuple[str, int]


@contextlib.contextmanager
def peer(talk: Talk) -> Iterator[Address]:
    """Yield the address of a listener that runs `talk` in one thread per connection and then closes the connection."""
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
    """Serve a connection as the protocol says."""
    sock.sendall(GREETING)
    engine = ProtocolEngine()
    while data := sock.recv(65536):
        sock.sendall(engine.receive(data))


def says(*replies: bytes) -> Talk:
    """Return a peer that sends the first of `replies` at once, each other after a receive, and then waits for EOF."""

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
    """Return an address without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: Address = listener.getsockname()
    return address


def script(*steps: Mapping[str, object], **options: object) -> LoadConfig:
    """Return a load of one script group."""
    return LoadConfig.model_validate({"clients": [{"kind": "script", "script": list(steps), **options}]})


def play(
    target: ClientTarget | Address,
    load: LoadConfig,
    loop_factory: LoopFactory | None = None,
    on_start: Callable[[WorkerContext, list[GroupClients]], None] | None = None,
    *,
    max_open: int = sys.maxsize,
) -> list[ClientRecord]:
    """Play `load` in this process and return its records in the order of groups and clients."""

    async def run() -> WorkerContext:
        timers = LoopTimers(asyncio.get_running_loop())
        to = target if isinstance(target, ClientTarget) else ClientTarget(*target)
        context = WorkerContext(to, timers, ClientCounts(), max_open=max_open)
        plans = [plan_of(group, load.seed) for group in load.clients]
        started_ns = now_ns()
        groups = groups_of(load, plans, context)
        for group in groups:
            group.begin(started_ns)
        if on_start:
            on_start(context, groups)
        await context.counts.wait_all_closed()
        context.close()
        return context

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        context = runner.run(run())
    attach(context.records, context.columns.stamps)
    in_order = sorted(zip(context.places, context.records, strict=True), key=lambda pair: pair[0])
    return [record for _, record in in_order]


def load(*groups: Mapping[str, object], seed: int = 1) -> LoadConfig:
    """Return a load of these groups."""
    return LoadConfig.model_validate({"clients": list(groups), "seed": seed})


def played(*groups: Mapping[str, object], talk: Talk = honest, loop: LoopFactory | None = None) -> list[ClientRecord]:
    """Play these groups against a peer that runs `talk`; return the records."""
    with peer(talk) as address:
        return play(address, load(*groups), loop)


def cancel(context: WorkerContext, groups: list[GroupClients]) -> None:
    """End all traffic, as a client process does."""
    context.cancel()
    for group in groups:
        group.cancel()
