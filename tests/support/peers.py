"""Peers for clients to meet: an honest one, and the frame for those that are not."""

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
from coreserver.clients.worker.source_addresses import Target
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
    loop_factory: LoopFactory | None = None,
    on_start: Callable[[WorkerContext, list[GroupClients]], None] | None = None,
    *,
    most_open: int = sys.maxsize,
) -> list[ClientRecord]:
    """The records of `load`, played in this process."""

    async def run() -> WorkerContext:
        timers = LoopTimers(asyncio.get_running_loop())
        to = target if isinstance(target, Target) else Target(*target)
        stage = WorkerContext(to, timers, ClientCounts(), most_open=most_open)
        plans = [plan_of(group, load.seed) for group in load.clients]
        started_ns = now_ns()
        groups = groups_of(load, plans, stage)
        for group in groups:
            group.begin(started_ns)
        if on_start:
            on_start(stage, groups)
        await stage.tally.wait_all_closed()
        stage.close()
        return stage

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        stage = runner.run(run())
    attach(stage.records, stage.columns.stamps)
    in_order = sorted(zip(stage.places, stage.records, strict=True), key=lambda pair: pair[0])
    return [record for _, record in in_order]


def load(*groups: Mapping[str, object], seed: int = 1) -> LoadConfig:
    """These groups as a load."""
    return LoadConfig.model_validate({"clients": list(groups), "seed": seed})


def played(*groups: Mapping[str, object], talk: Talk = honest, loop: LoopFactory | None = None) -> list[ClientRecord]:
    """What became of the clients of these groups, whose peers `talk`."""
    with peer(talk) as address:
        return play(address, load(*groups), loop)


def cancel(stage: WorkerContext, groups: list[GroupClients]) -> None:
    """End all traffic, as a client process does."""
    stage.cancel()
    for group in groups:
        group.cancel()
