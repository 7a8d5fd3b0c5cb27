"""Servers built with other libraries for the same protocol; run one as `python -m benchmarks.peers NAME`.

They use the project's protocol engine and TCP_NODELAY, so that only the concurrency design differs. Each prints its
port and exits at the end of its standard input.
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


def exit_with_stdin() -> None:
    """Exit this process at the end of standard input."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def serve(sock: socket.socket) -> None:
    """Serve one connection with blocking calls, in a thread or in a greenlet."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    engine = ProtocolEngine()
    sock.sendall(GREETING)
    while data := sock.recv(READ_BYTES):
        if reply := engine.receive(data):
            sock.sendall(reply)


def run_socketserver() -> None:
    """Run the standard library's server with one thread per client."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            serve(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = BACKLOG

        def handle_error(self, *_: object) -> None:
            """Do nothing: the load client closes with resets, and a traceback for each would distort the figures."""

    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


async def run_asyncio_streams() -> None:
    """Run the standard library's streams on its own event loop."""

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
    """Minimal server on this loop; the lab's design adds limits, clocks and records."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the greeting."""
        self._receive = ProtocolEngine().receive
        self._write = cast(asyncio.Transport, transport).write
        self._write(GREETING)

    def data_received(self, data: bytes) -> None:
        """Send the reply."""
        if reply := self._receive(data):
            self._write(reply)


async def run_uvloop() -> None:
    """Run a bare protocol on uvloop."""
    server = await asyncio.get_running_loop().create_server(BareProtocol, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def run_gevent() -> None:
    """Run gevent's StreamServer: one greenlet per client."""
    from gevent.server import StreamServer

    server = StreamServer(("127.0.0.1", 0), lambda sock, _: serve(sock), backlog=BACKLOG)
    server.start()
    print(server.server_port, flush=True)
    server.serve_forever()


def main() -> None:
    """Run the server that the command line names."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    exit_with_stdin()
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
