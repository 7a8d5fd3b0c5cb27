"""Measure what repeated start, service and stop on one port leave behind, and how long a stop takes.

Run `python -m benchmarks.cycles`: 1,000 cycles of every Python model in threads and 100 of every model in a process of
its own, a few minutes. The test suite runs a short version. Each cycle has three clients; two of them are still
connected when the server stops.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import statistics
import threading
import time
from dataclasses import dataclass
from typing import get_args

import psutil

from benchmarks.contenders import server_config
from benchmarks.tools import machine
from coreserver.hosting.host import host_for
from coreserver.models import MODELS

STOP_LIMIT_S = 0.5  # of the median: a server that polls, or waits for its clients, takes longer


@dataclass(frozen=True)
class Cycles:
    """Leftovers of a series of cycles, and the duration of its stops."""

    threads_left: int
    descriptors_left: int
    children_left: int
    median_stop_s: float
    slowest_stop_s: float
    resident_growth_bytes: int

    def is_clean(self) -> bool:
        """Return whether no thread, descriptor or child is left."""
        return not (self.threads_left or self.descriptors_left or self.children_left)


def free_port() -> int:
    """Return an unused port below the ephemeral range."""
    host = host_for(server_config("sequential"))
    port = host.start().port
    host.stop()
    return port


def run_cycles(model: str, placement: str, count: int) -> Cycles:
    """Run `count` cycles on one port, after one warm-up cycle."""
    port = free_port()
    _cycle(model, placement, port)
    me = psutil.Process()
    threads, descriptors, resident = threading.active_count(), _descriptors(), me.memory_info().rss
    stops_s = [_cycle(model, placement, port) for _ in range(count)]
    return Cycles(
        threads_left=threading.active_count() - threads,
        descriptors_left=_descriptors() - descriptors,
        children_left=len(me.children()),
        median_stop_s=statistics.median(stops_s),
        slowest_stop_s=max(stops_s),
        resident_growth_bytes=me.memory_info().rss - resident,
    )


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _cycle(model: str, placement: str, port: int) -> float:
    """Run one cycle and return the duration of its stop in seconds."""
    host = host_for(server_config(model, placement=placement, port=port))
    address = host.start()
    clients = [socket.create_connection(address, timeout=10.0) for _ in range(3)]
    talk_to_next(clients).close()
    talk_to_next(clients)
    began = time.monotonic()
    host.stop()
    took = time.monotonic() - began
    for client in clients:
        client.close()
    return took


def talk_to_next(clients: list[socket.socket]) -> socket.socket:
    """Exchange one message with the first client that is greeted; the server chooses the order."""
    waiting = [client for client in clients if client.fileno() >= 0]
    readable, _, _ = select.select(waiting, [], [], 20.0)
    if not readable:
        raise SystemExit("no client was greeted within 20 s")
    talk(readable[0])
    return readable[0]


def talk(client: socket.socket) -> None:
    """Receive the greeting, send one message and check the reply."""
    greeting = client.recv(1)
    client.sendall(b"^abc$")
    answer = b""
    while len(answer) < 3:
        answer += client.recv(3)
    if (greeting, answer) != (b"*", b"bcd"):
        raise SystemExit(f"wrong greeting or reply: {greeting!r} {answer!r}")


def main() -> None:
    """Print one row per model and placement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1000, help="cycles of each model in threads of this process")
    parser.add_argument("--processes", type=int, default=100, help="cycles of each model in its own process")
    arguments = parser.parse_args()
    print(f"{machine()}\n")
    print("| model | placement | cycles | threads left | fds left | children left | slowest stop ms | RSS growth kB |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for model, design in MODELS.items():
        for placement in get_args(design.Config.model_fields["placement"].annotation):
            count = arguments.threads if placement == "thread" else arguments.processes
            done = run_cycles(model, placement, count)
            print(
                f"| {model} | {placement} | {count} | {done.threads_left} | {done.descriptors_left} "
                f"| {done.children_left} | {done.slowest_stop_s * 1000:.0f} | {done.resident_growth_bytes // 1000} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
