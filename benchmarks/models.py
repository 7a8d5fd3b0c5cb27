"""Compare every server design with its peers: round trips/s, percentiles, idle clients, the cost of telemetry.

Run `python -m benchmarks.models` (about fifteen minutes on a quiet machine; `--quick` for a first look). The load comes
from a C client. Contenders alternate within each round, ratios are computed within a round, and the figures are those
of the median round: the speed of a machine varies by 10 to 20 % from minute to minute, and much less within a round.
The targets are then judged by pairs of their own, because the best and the worst of a table are partly so by chance.

    shared    servers and load run on any CPU that the kernel chooses, as on most machines
    apart     the server has one CPU to itself and the load another: the cost of a design when nothing moves between
              CPUs and no other process takes the server's CPU time
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.contenders import Contender, article_way, host_model, lab_contenders, one_core, peers
from benchmarks.telemetry import print_telemetry_cost
from benchmarks.tools import Load, Programs, alternating, machine, median_interval
from coreserver.clock import now_ns


@dataclass(frozen=True)
class Shape:
    """Number of connections, bytes of payload, and placement on CPUs."""

    connections: int
    message_bytes: int
    apart: bool = False

    @property
    def layout(self) -> str:
        """Name of the placement on CPUs."""
        return "apart" if self.apart else "shared"

    def __str__(self) -> str:
        plural = "s" * (self.connections > 1)
        return f"{self.connections} connection{plural}, {self.message_bytes:,}-byte messages, {self.layout}"


BUSY, LARGE = Shape(64, 14), Shape(64, 16_384)
BUSY_APART, LARGE_APART = Shape(64, 14, apart=True), Shape(64, 16_384, apart=True)
SHAPES = (Shape(1, 14), BUSY, Shape(1, 16_384), LARGE)
SHAPES_APART = (BUSY_APART, LARGE_APART)

REFERENCE = "c_threads (process)"
STDLIB = "socketserver.ThreadingTCPServer"
PLAIN_C = "C epoll, plain"
THREADED = ("thread_per_client", "capped_threads", "executor_pool", "bounded_pool", "elastic_pool")
IDLE_CLIENTS = 9_000
IDLE_MODELS = ("thread_per_client", "capped_threads", "event_loop", "asyncio", "c_threads")

Rounds = dict[tuple[str, Shape], list[Load]]
Target = tuple[str, str, Shape, float]  # server, peer, shape, and the ratio of round trips/s to reach


def main() -> None:
    """Measure and print the tables and the targets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, fewer pairs")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of every contender at every shape")
    parser.add_argument("--pairs", type=int, default=15, help="alternating pairs for every target, at least 6")
    parser.add_argument("--only", choices=("throughput", "idle", "telemetry"), help="run one part only")
    arguments = parser.parse_args()
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as directory:
        programs = Programs(Path(directory))
        if arguments.only in (None, "throughput"):
            seconds = 0.5 if arguments.quick else 1.0
            rounds = measure(programs, rounds=1 if arguments.quick else arguments.rounds, seconds=seconds)
            print_throughput(rounds)
            print_targets(programs, rounds, pairs=6 if arguments.quick else arguments.pairs, seconds=seconds)
        if arguments.only in (None, "idle"):
            print_idle(programs, 1_000 if arguments.quick else IDLE_CLIENTS)
        if arguments.only in (None, "telemetry"):
            print_telemetry_cost(programs, pairs=6 if arguments.quick else 15)


def measure(programs: Programs, rounds: int, seconds: float) -> Rounds:
    """Measure every contender at every shape, `rounds` times in turn; the shapes `apart` need two CPUs."""
    shapes = (*SHAPES, *(SHAPES_APART if len(os.sched_getaffinity(0)) > 1 else ()))
    results: Rounds = defaultdict(list)
    for number in range(rounds):
        for shape in shapes:
            for contender in contenders_at(programs, shape):
                results[contender.name, shape].append(measure_once(programs, contender, shape, seconds))
                show(f"round {number + 1}/{rounds}: {contender.name}, {shape}")
    show("", end="\n")
    return results


def measure_once(programs: Programs, contender: Contender, shape: Shape, seconds: float) -> Load:
    """Start one contender and measure it at one shape."""
    server = contender.start(shape.connections)
    return programs.load_on(server, shape.connections, shape.message_bytes, seconds, apart=shape.apart)


def round_trips_per_s(programs: Programs, contender: Contender, shape: Shape, seconds: float) -> float:
    """Measure the round trips per second of one contender."""
    return measure_once(programs, contender, shape, seconds).per_s


def show(progress: str, end: str = "") -> None:
    """Replace the progress line in the terminal."""
    print(f"\r{progress:<120}", end=end, file=sys.stderr)


def contenders_at(programs: Programs, shape: Shape) -> list[Contender]:
    """Return the contenders that can be measured at this shape."""
    contenders = [*lab_contenders(), *peers(programs)]
    if not shape.apart:
        contenders += one_core(min(os.sched_getaffinity(0)))
    if shape in (BUSY, BUSY_APART):
        contenders.append(article_way())
    return [contender for contender in contenders if shape.connections == 1 or not contender.one_at_a_time]


def ratio(rounds: Rounds, name: str, other: str, shape: Shape) -> float:
    """Return the round trips/s of `name` divided by those of `other`, in the median round."""
    pairs = zip(rounds[name, shape], rounds[other, shape], strict=True)
    return statistics.median(load.per_s / other_load.per_s for load, other_load in pairs)


def names_at(rounds: Rounds, shape: Shape) -> list[str]:
    """Return the names of the contenders that were measured at this shape."""
    return [name for name, at in rounds if at == shape]


def print_throughput(rounds: Rounds) -> None:
    """Print one table per shape, the fastest server first."""
    for shape in dict.fromkeys(shape for _, shape in rounds):
        print(f"{shape}\n\n| server | round trips/s | p50 µs | p99 µs | to c_threads | errors |")
        print("|---|---:|---:|---:|---:|---:|")
        rows = []
        for name in names_at(rounds, shape):
            loads = rounds[name, shape]
            per_s, p50, p99 = (
                statistics.median(getattr(load, figure) for load in loads) for figure in ("per_s", "p50_us", "p99_us")
            )
            relative = ratio(rounds, name, REFERENCE, shape)
            errors = sum(load.errors for load in loads)
            rows.append((-per_s, f"| {name} | {per_s:,.0f} | {p50:,.0f} | {p99:,.0f} | {relative:.2f} | {errors} |"))
        print("\n".join(row for _, row in sorted(rows)), end="\n\n")


def print_targets(programs: Programs, rounds: Rounds, pairs: int, seconds: float) -> None:
    """Measure each target ratio in each placement with alternating pairs of its own, and print the results."""
    print("| server | peer | shape | ratio | 95 % interval | target |\n|---|---|---|---:|---|---|")
    for busy, large in ((BUSY, LARGE), (BUSY_APART, LARGE_APART)):
        for name, other, shape, target in targets(rounds, busy, large) if names_at(rounds, busy) else ():
            show(f"{name} and {other}, {shape}")
            contenders = {contender.name: contender for contender in contenders_at(programs, shape)}
            server, peer = (
                partial(round_trips_per_s, programs, contenders[key], shape, seconds) for key in (name, other)
            )
            median, low, high = median_interval(alternating(pairs, server, peer))
            word = "reached" if median >= target else "missed" if high < target else "missed, within the scatter"
            print(f"| {name} | {other} | {shape} | {median:.2f} | {low:.2f} to {high:.2f} | {target:g} {word} |")
    show("", end="\n")
    print()


def targets(rounds: Rounds, busy: Shape, large: Shape) -> list[Target]:
    """Return the targets; of several designs, the worst of the table is measured (for 0.75 the best)."""
    threaded = [name for name in names_at(rounds, busy) if name.startswith(THREADED)]
    concurrent = [contender.name for contender in lab_contenders() if not contender.one_at_a_time]
    article = article_way().name
    return [
        ("asyncio (process)", REFERENCE, busy, 1.3),
        ("asyncio (process)", PLAIN_C, busy, 0.7),
        ("asyncio (process)", REFERENCE, large, 0.7),
        ("event_loop (process)", REFERENCE, busy, 1.0),
        (max(threaded, key=lambda name: ratio(rounds, name, REFERENCE, busy)), REFERENCE, busy, 0.75),
        (min(concurrent, key=lambda name: ratio(rounds, name, article, busy)), article, busy, 25.0),
        (min(threaded, key=lambda name: ratio(rounds, name, STDLIB, busy)), STDLIB, busy, 1.0),
    ]


def print_idle(programs: Programs, clients: int) -> None:
    """Print threads and memory of the server process with `clients` idle connections."""
    print(f"{clients:,} idle clients\n\n| server | threads | RSS MB | VMS MB |\n|---|---:|---:|---:|")
    for model in IDLE_MODELS:
        options = {"max_clients": clients} if model == "capped_threads" else {}
        with (
            host_model(model, placement="process", idle_timeout_s=None, **options) as (host, port),
            programs.holding(port, clients, deadline_s=60.0),
        ):
            since = now_ns()
            while not (samples := host.samples(since)):
                time.sleep(0.01)
        last = samples[-1]
        print(f"| {model} | {last.threads_alive} | {last.rss_bytes / 1e6:,.0f} | {last.vms_bytes / 1e6:,.0f} |")
    print()


if __name__ == "__main__":
    main()
