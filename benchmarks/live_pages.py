"""Cost of an open live page: round trips of a server that shares the lab's interpreter, and CPU time of the lab.

A reader replaces the browser: it follows the stream of fragment versions, fetches each fragment that has changed, and
discards it. The lab therefore does all that it does for a browser. Pairs alternate, with the page open first and second
in turn; a ratio is taken within a pair.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from benchmarks.lab import LabProcess
from benchmarks.tools import Programs, alternating, median_interval

CONNECTIONS, MESSAGE_BYTES = 64, 14
PAIRS, QUICK_PAIRS = 40, 6
LOAD_S, QUICK_LOAD_S = 0.7, 0.4
TARGET = 0.97  # of the round trips/s without a page; the upper end of the interval must reach it
POLL_S = 0.1
SERVERS: tuple[dict[str, Any], ...] = ({"model": "asyncio"}, {"model": "bounded_pool", "workers": CONNECTIONS})
DASHBOARD = ("lab/servers", "lab/runs")

Measure = Callable[[bool], float]  # round trips/s, with an open page or without
Names = Sequence[str]  # of the fragments of a page


def print_live_cost(lab: LabProcess, programs: Programs, *, quick: bool) -> None:
    """Measure and print both tables."""
    pairs, seconds = (QUICK_PAIRS, QUICK_LOAD_S) if quick else (PAIRS, LOAD_S)
    print(f"Round trips/s of a server in threads of the lab, {CONNECTIONS} x {MESSAGE_BYTES} bytes, with one live page")
    print(f"divided by those without, median of {pairs} alternating pairs\n")
    print(f"| open page | server | ratio | 95 % interval | target: up to {TARGET:g} |\n|---|---|---:|---|---|")
    for config in SERVERS:
        with running_server(lab, config) as server:
            for page, names in (("dashboard", DASHBOARD), ("server", _server_names(server))):
                _print_ratio(page, config["model"], _load_server(lab, programs, server, names, seconds), pairs)
        _print_ratio("run", config["model"], _load_run(lab, config, seconds), pairs)
    print()
    _print_cpu(lab, programs, seconds=2.0 if quick else 4.0)


@contextmanager
def running_server(lab: LabProcess, config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Start a server of the lab, and delete it at the end of the block."""
    server = lab.ask("/servers", {**config, "backlog": 4096})
    yield server
    lab.http.delete(f"/api/v1/servers/{server['id']}").raise_for_status()


@contextmanager
def open_page(lab: LabProcess, names: Names) -> Iterator[None]:
    """Follow these fragments while the block runs, as the script of a page does."""
    place = urlsplit(lab.url)
    query = urlencode([("fragment", name) for name in names])
    with socket.create_connection((place.hostname, place.port)) as peer:
        peer.sendall(f"GET /live/events?{query} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
        reader = threading.Thread(target=_follow, args=(lab.url, peer), name="open page", daemon=True)
        reader.start()
        try:
            yield
        finally:
            peer.shutdown(socket.SHUT_RDWR)
            reader.join()


def _follow(url: str, peer: socket.socket) -> None:
    with peer.makefile("rb") as lines, httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        for line in lines:
            if line.startswith(b"data:"):
                names = json.loads(line.removeprefix(b"data:"))
                client.get("/live/fragments", params={"fragment": list(names)})


def _server_names(server: dict[str, Any]) -> Names:
    return [f"servers/{server['id']}/{part}" for part in ("now", "minute")]


def _load_server(lab: LabProcess, programs: Programs, server: dict[str, Any], names: Names, seconds: float) -> Measure:
    """Return a measurement with the C client against a running server."""

    def measure(is_open: bool) -> float:
        with _page(lab, names, is_open):
            return programs.load(server["address"]["port"], CONNECTIONS, MESSAGE_BYTES, seconds).per_s

    return measure


def _load_run(lab: LabProcess, config: dict[str, Any], seconds: float) -> Measure:
    """Return a measurement with the lab's clients: the throughput that the run reports."""
    group = {"kind": "closed", "count": CONNECTIONS, "duration_s": seconds, "message_bytes": MESSAGE_BYTES}

    def measure(is_open: bool) -> float:
        run = lab.ask("/runs", {"server": config, "clients": [group]})
        names = [f"runs/{run['id']}/{part}" for part in ("progress", "timeline")]
        with _page(lab, names, is_open):
            while run["state"] in ("queued", "running"):
                time.sleep(POLL_S)
                run = lab.http.get(run["links"]["self"]).raise_for_status().json()
        return float(run["totals"]["throughput_messages_per_s"])

    return measure


def _page(lab: LabProcess, names: Names, is_open: bool) -> AbstractContextManager[None]:
    return open_page(lab, names) if is_open else nullcontext()


def _print_ratio(page: str, model: str, measure: Measure, pairs: int) -> None:
    median, low, high = median_interval(alternating(pairs, partial(measure, True), partial(measure, False)))
    word = "reached" if high >= TARGET else "missed"
    print(f"| {page} | {model} | {median:.3f} | {low:.3f} to {high:.3f} | {word} |", flush=True)


def _print_cpu(lab: LabProcess, programs: Programs, seconds: float) -> None:
    """Print the CPU time of the control plane while the server runs in its own process."""
    print(f"CPU time of the control plane over {seconds:g} s, ms per second; the server in its own process\n")
    print("| connections | no page open | dashboard | server page |\n|---|---:|---:|---:|")
    with running_server(lab, {"model": "asyncio", "placement": "process"}) as server:
        port = server["address"]["port"]
        pages: tuple[Names, ...] = ((), DASHBOARD, _server_names(server))
        for name, connections in (("none", 0), ("64 idle", 64), ("2,000 idle", 2_000)):
            with programs.holding(port, connections, deadline_s=60) if connections else nullcontext():
                cells = [_cpu_ms_per_s(lab, names, lambda: time.sleep(seconds)) for names in pages]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
        busy = [
            _cpu_ms_per_s(lab, names, lambda: programs.load(port, CONNECTIONS, MESSAGE_BYTES, seconds))
            for names in pages
        ]
        print(f"| {CONNECTIONS} busy | {' | '.join(busy)} |\n")


def _cpu_ms_per_s(lab: LabProcess, names: Names, work: Callable[[], object]) -> str:
    with _page(lab, names, bool(names)):
        began, used = time.monotonic(), lab.cpu_s()
        work()
        return f"{(lab.cpu_s() - used) / (time.monotonic() - began) * 1e3:.1f}"
