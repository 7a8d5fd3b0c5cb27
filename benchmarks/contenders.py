"""Servers that the benchmarks compare: every model in every placement, and peers from other projects."""

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
    """A named server. `start` takes the number of connections to expect and yields the port."""

    name: str
    start: Start
    one_at_a_time: bool = False


def server_config(model: str, **options: Any) -> ServerOptions:
    """Return a validated configuration with the common backlog."""
    adapter: TypeAdapter[ServerOptions] = TypeAdapter(ServerConfig)
    return adapter.validate_python({"model": model, "backlog": BACKLOG, **options})


@contextmanager
def host_model(model: str, **options: Any) -> Iterator[tuple[ServerHost, int]]:
    """Run one of the lab's models; yield its host and its port."""
    host = host_for(server_config(model, **options))
    try:
        yield host, host.start().port
    finally:
        host.stop()


def lab_contender(name: str, model: str, **options: Any) -> Contender:
    """Return one of the lab's models as a contender; a pool has one worker per connection."""

    @contextmanager
    def start(connections: int) -> Iterator[int]:
        sized: dict[str, Any] = {POOLS[model]: connections} if model in POOLS else {}
        if model == "elastic_pool":
            sized["max_workers"] = connections
        if model == "capped_threads":
            sized["max_clients"] = connections
        with host_model(model, **sized, **options) as (_, port):
            yield port

    return Contender(name, start, one_at_a_time=model == "sequential")


def program(name: str, command: list[str]) -> Contender:
    """Return a contender that is a separate program; it prints its port and exits at the end of its stdin.

    It runs in its own session, like the lab's server processes. Where the kernel schedules by session, a server in
    the load client's session would share its CPU time with the load.
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


def lab_contenders() -> list[Contender]:
    """Return every model in every placement that it supports."""
    return [
        lab_contender(f"{model} ({placement})", model, placement=placement)
        for model in MODELS
        for placement in (("process",) if model == "c_threads" else ("thread", "process"))
    ]


def one_core(cpu: int) -> list[Contender]:
    """Return threaded Python designs in a process that is restricted to one CPU."""
    models = ("thread_per_client", "bounded_pool")
    return [lab_contender(f"{model} (process, one CPU)", model, placement="process", cpus=[cpu]) for model in models]


def peers(programs: Programs) -> list[Contender]:
    """Return servers from other projects, and a minimal epoll server in C."""
    python = [sys.executable, "-m", "benchmarks.peers"]
    return [
        program("C epoll, plain", [programs.path("epoll_server")]),
        program("socketserver.ThreadingTCPServer", [*python, "socketserver"]),
        program("uvloop protocol, bare", [*python, "uvloop"]),
        program("asyncio streams", [*python, "asyncio_streams"]),
        program("gevent StreamServer", [*python, "gevent"]),
    ]


def article_way() -> Contender:
    """Return a pool of 64 that sends one byte at a time and leaves Nagle's algorithm on."""
    return lab_contender("the article's way (pool of 64)", "executor_pool", reply="per_byte", nodelay=False)
