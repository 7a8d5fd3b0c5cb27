"""Servers of other makers at the same work, each run as `python -m benchmarks.peers NAME`.

They use the project's protocol engine and TCP_NODELAY, so only the way of serving differs. Each prints its port and
ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import socketserver
import sys
import threading
from typing import cast

from coreserver.protocols.article import GREETING, ProtocolEngine

READ_BYTES = 65536
BACKLOG = 4096


def end_with_stdin() -> None:
    """End this process when standard input does."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def serve(sock: socket.socket) -> None:
    """One connection with blocking calls, whatever makes them block."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    engine = ProtocolEngine()
    sock.sendall(GREETING)
    while data := sock.recv(READ_BYTES):
        if reply := engine.receive(data):
            sock.sendall(reply)


def run_socketserver() -> None:
    """The standard library's thread per client."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            serve(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = BACKLOG

        def handle_error(self, *_: object) -> None:
            """Nothing: the load client leaves with resets, and a traceback each would be a cost of ours."""

    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


async def run_asyncio_streams() -> None:
    """The standard library's streams on its own loop."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine = ProtocolEngine()
        writer.write(GREETING)
        try:
            while data := await reader.read(READ_BYTES):
                writer.write(engine.receive(data))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class BareProtocol(asyncio.Protocol):
    """As little as a server on this loop can do: what the lab's own adds to it are limits, clocks and records."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._receive = ProtocolEngine().receive
        self._write = cast(asyncio.Transport, transport).write
        self._write(GREETING)

    def data_received(self, data: bytes) -> None:
        """Answer."""
        if reply := self._receive(data):
            self._write(reply)


async def run_uvloop() -> None:
    """A protocol on uvloop, without anything else."""
    server = await asyncio.get_running_loop().create_server(BareProtocol, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def run_gevent() -> None:
    """gevent's StreamServer: a greenlet a client."""
    from gevent.server import StreamServer

    server = StreamServer(("127.0.0.1", 0), lambda sock, _: serve(sock), backlog=BACKLOG)
    server.start()
    print(server.server_port, flush=True)
    server.serve_forever()


def main() -> None:
    """Run the peer that the command line names."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    end_with_stdin()
    if sys.argv[1] == "socketserver":
        run_socketserver()
    elif sys.argv[1] == "asyncio_streams":
        asyncio.run(run_asyncio_streams())
    elif sys.argv[1] == "uvloop":
        import uvloop

        uvloop.run(run_uvloop())
    elif sys.argv[1] == "gevent":
        run_gevent()
    else:
        sys.exit(f"no such peer: {sys.argv[1]}")


if __name__ == "__main__":
    main()
