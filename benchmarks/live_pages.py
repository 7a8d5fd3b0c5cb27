"""What an open live page takes: from a server that shares the lab's interpreter, and of the control plane's CPU time.

In the browser's place stands a reader that throws the events away, so that what is measured is the lab's part: making
the events and sending them. Pairs alternate, with the reader first and second in turn; a ratio is taken within a pair.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from benchmarks.lab import LabProcess
from benchmarks.tools import Programs, alternating, median_interval

CONNECTIONS, MESSAGE_BYTES = 64, 14
TARGET = 0.97  # of the round trips/s without a reader
POLL_S = 0.1
LAB_EVENTS = "/api/v1/events"
SERVERS: tuple[dict[str, Any], ...] = ({"model": "asyncio"}, {"model": "bounded_pool", "workers": CONNECTIONS})

Measure = Callable[[bool], float]  # round trips/s, with a reader or without


def print_live_cost(lab: LabProcess, programs: Programs, *, quick: bool) -> None:
    """Both tables."""
    pairs, seconds = (6, 0.5) if quick else (15, 1.5)
    print(f"Round trips/s of a server in threads of the lab, {CONNECTIONS} x {MESSAGE_BYTES} bytes, with one live page")
    print(f"open against without, median of {pairs} alternating pairs\n")
    print(f"| open page | server | with / without | 95 % interval | target {TARGET:g} |\n|---|---|---:|---|---|")
    for config in SERVERS:
        with standing(lab, config) as server:
            for page, events in (("dashboard", LAB_EVENTS), ("the server's", _events_of(server))):
                _print_ratio(page, config["model"], _load_on(lab, programs, server, events, seconds), pairs)
        _print_ratio("the run's", config["model"], _run_of(lab, config, seconds), pairs)
    print()
    _print_cpu(lab, programs, seconds=2.0 if quick else 10.0)


@contextmanager
def standing(lab: LabProcess, config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A server of the lab, deleted afterwards."""
    server = lab.ask("/servers", {**config, "backlog": 4096})
    yield server
    lab.http.delete(f"/api/v1/servers/{server['id']}").raise_for_status()


def _events_of(server: dict[str, Any]) -> str:
    return f"{server['links']['self']}/events"


def _load_on(lab: LabProcess, programs: Programs, server: dict[str, Any], events: str, seconds: float) -> Measure:
    """Load of our C client on a server that stands."""

    def measure(is_watched: bool) -> float:
        with _perhaps(lab, events, is_watched):
            return programs.load(server["address"]["port"], CONNECTIONS, MESSAGE_BYTES, seconds).per_s

    return measure


def _run_of(lab: LabProcess, config: dict[str, Any], seconds: float) -> Measure:
    """A run of the lab's own clients, as it reports it."""
    group = {"kind": "closed", "count": CONNECTIONS, "duration_s": seconds, "message_bytes": MESSAGE_BYTES}

    def measure(is_watched: bool) -> float:
        run = lab.ask("/runs", {"server": config, "clients": [group]})
        with _perhaps(lab, run["links"]["events"], is_watched):
            while run["state"] in ("queued", "running"):
                time.sleep(POLL_S)
                run = lab.http.get(run["links"]["self"]).raise_for_status().json()
        return float(run["totals"]["throughput_messages_per_s"])

    return measure


def _perhaps(lab: LabProcess, events: str, is_watched: bool) -> AbstractContextManager[None]:
    return lab.read(events) if is_watched else nullcontext()


def _print_ratio(page: str, model: str, measure: Measure, pairs: int) -> None:
    median, low, high = median_interval(alternating(pairs, partial(measure, True), partial(measure, False)))
    word = "reached" if median >= TARGET else "missed"
    print(f"| {page} | {model} | {median:.3f} | {low:.3f} to {high:.3f} | {word} |", flush=True)


def _print_cpu(lab: LabProcess, programs: Programs, seconds: float) -> None:
    """What the control plane itself uses, the server being in a process of its own."""
    print(f"CPU time of the control plane over {seconds:g} s, milliseconds a second; the server in its own process\n")
    print("| what goes on | no page open | dashboard | the server's page |\n|---|---:|---:|---:|")
    with standing(lab, {"model": "asyncio", "placement": "process"}) as server:
        port = server["address"]["port"]
        pages = (None, LAB_EVENTS, _events_of(server))
        for name, connections in (("nothing", 0), ("64 idle connections", 64), ("2,000 idle connections", 2_000)):
            with programs.holding(port, connections, deadline_s=60) if connections else nullcontext():
                cells = [_cpu_ms_per_s(lab, events, lambda: time.sleep(seconds)) for events in pages]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
        busy = [
            _cpu_ms_per_s(lab, events, lambda: programs.load(port, CONNECTIONS, MESSAGE_BYTES, seconds))
            for events in pages
        ]
        print(f"| {CONNECTIONS} busy connections | {' | '.join(busy)} |\n")


def _cpu_ms_per_s(lab: LabProcess, events: str | None, meanwhile: Callable[[], object]) -> str:
    with _perhaps(lab, events or "", events is not None):
        began, used = time.monotonic(), lab.cpu_s()
        meanwhile()
        return f"{(lab.cpu_s() - used) / (time.monotonic() - began) * 1e3:.1f}"
