"""Who takes part: every model and placement of ours, and the peers that the benchmark holds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

from pydantic import TypeAdapter

from benchmarks.tools import Programs
from coreserver.config.server import ServerOptions
from coreserver.hosting.host import ServerHost, host_for
from coreserver.models import MODELS, ServerConfig

BACKLOG = 4096
POOLS = {"executor_pool": "workers", "bounded_pool": "workers", "elastic_pool": "min_workers"}

Start = Callable[[int], AbstractContextManager[int]]  # connections → the port of a running server


@dataclass(frozen=True)
class Contender:
    """A server under a name; `start` is told how many connections will come."""

    name: str
    start: Start
    one_at_a_time: bool = False


def server_config(model: str, **options: Any) -> ServerOptions:
    """A checked configuration."""
    adapter: TypeAdapter[ServerOptions] = TypeAdapter(ServerConfig)
    return adapter.validate_python({"model": model, "backlog": BACKLOG, **options})


@contextmanager
def hosted(model: str, **options: Any) -> Iterator[tuple[ServerHost, int]]:
    """A running server of ours, and its port."""
    host = host_for(server_config(model, **options))
    try:
        yield host, host.start().port
    finally:
        host.stop()


def ours(name: str, model: str, **options: Any) -> Contender:
    """One of our models; pools get as many workers as there will be connections."""

    @contextmanager
    def start(connections: int) -> Iterator[int]:
        sized: dict[str, Any] = {POOLS[model]: connections} if model in POOLS else {}
        if model == "elastic_pool":
            sized["max_workers"] = connections
        if model == "capped_threads":
            sized["max_clients"] = connections
        with hosted(model, **sized, **options) as (_, port):
            yield port

    return Contender(name, start, one_at_a_time=model == "sequential")


def program(name: str, command: list[str]) -> Contender:
    """A server of its own that prints its port and ends when its stdin does.

    Like our own servers' processes it has a session of its own: where the kernel schedules by session, one in the
    load client's session would share its turn with the load.
    """

    @contextmanager
    def start(_: int) -> Iterator[int]:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as server:
            try:
                yield int(cast(IO[str], server.stdout).readline())
            finally:
                server.kill()

    return Contender(name, start)


def our_models() -> list[Contender]:
    """Every model in every placement it has."""
    return [
        ours(f"{model} ({placement})", model, placement=placement)
        for model in MODELS
        for placement in (("process",) if model == "c_threads" else ("thread", "process"))
    ]


def one_core(cpu: int) -> list[Contender]:
    """The threaded Python designs in a process kept on one CPU."""
    models = ("thread_per_client", "bounded_pool")
    return [ours(f"{model} (process, one CPU)", model, placement="process", cpus=[cpu]) for model in models]


def peers(programs: Programs) -> list[Contender]:
    """Servers of other makers, and the plainest epoll server in C."""
    python = [sys.executable, "-m", "benchmarks.peers"]
    return [
        program("C epoll, plain", [programs.path("epoll_server")]),
        program("socketserver.ThreadingTCPServer", [*python, "socketserver"]),
        program("uvloop protocol, bare", [*python, "uvloop"]),
        program("asyncio streams", [*python, "asyncio_streams"]),
        program("gevent StreamServer", [*python, "gevent"]),
    ]


def article_way() -> Contender:
    """A pool of 64 that sends byte by byte and leaves Nagle's algorithm on."""
    return ours("the article's way (pool of 64)", "executor_pool", reply="per_byte", nodelay=False)
