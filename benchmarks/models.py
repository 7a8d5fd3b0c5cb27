"""Every server design beside its peers: round trips/s, percentiles, idle clients, the cost of telemetry.

Run `python -m benchmarks.models` (about ten minutes on a quiet machine; `--quick` for a first look). Load comes from
our C client. Contenders take turns within each round, ratios are taken within a round, and the median round counts:
machines differ by a tenth or two from minute to minute, within a round much less.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.contenders import Contender, article_way, hosted, one_core, our_models, peers
from benchmarks.telemetry import print_telemetry_cost
from benchmarks.tools import Load, Programs, machine
from coreserver.clock import now_ns

SHAPES = ((1, 14), (64, 14), (1, 16_384), (64, 16_384))  # connections, payload bytes
REFERENCE = "c_threads (process)"
IDLE_CLIENTS = 9_000
IDLE_MODELS = ("thread_per_client", "capped_threads", "event_loop", "asyncio", "c_threads")

Rounds = dict[tuple[str, int, int], list[Load]]


def main() -> None:
    """Measure, and print the tables and the targets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, fewer pairs")
    parser.add_argument("--rounds", type=int, default=5, help="of every contender at every shape")
    parser.add_argument("--only", choices=("throughput", "idle", "telemetry"), help="one part alone")
    asked = parser.parse_args()
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as directory:
        programs = Programs(Path(directory))
        if asked.only in (None, "throughput"):
            rounds = measure(programs, rounds=1 if asked.quick else asked.rounds, seconds=0.5 if asked.quick else 1.0)
            print_throughput(rounds)
            print_targets(rounds)
        if asked.only in (None, "idle"):
            print_idle(programs, 1_000 if asked.quick else IDLE_CLIENTS)
        if asked.only in (None, "telemetry"):
            print_telemetry_cost(programs, pairs=6 if asked.quick else 15)


def measure(programs: Programs, rounds: int, seconds: float) -> Rounds:
    """Every contender at every shape, `rounds` times in turn."""
    field: list[Contender] = [*our_models(), *one_core(0), *peers(programs)]
    results: Rounds = defaultdict(list)
    for number in range(rounds):
        for connections, message_bytes in SHAPES:
            here = [*field, article_way()] if (connections, message_bytes) == (64, 14) else field
            for contender in here:
                if contender.one_at_a_time and connections > 1:
                    continue
                with contender.start(connections) as port:
                    load = programs.load(port, connections, message_bytes, seconds)
                results[contender.name, connections, message_bytes].append(load)
                progress = f"round {number + 1}/{rounds}: {contender.name}, {connections} x {message_bytes} bytes"
                print(f"\r{progress:<100}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return results


def ratio(rounds: Rounds, name: str, other: str, connections: int, message_bytes: int) -> float:
    """How many times the round trips/s of `other`: the median over the rounds of both."""
    pairs = zip(rounds[name, connections, message_bytes], rounds[other, connections, message_bytes], strict=True)
    return statistics.median(mine.per_s / theirs.per_s for mine, theirs in pairs)


def print_throughput(rounds: Rounds) -> None:
    """One table a shape, the quickest first."""
    for connections, message_bytes in SHAPES:
        print(f"{connections} connection{'s' * (connections > 1)}, {message_bytes:,}-byte messages\n")
        print("| server | round trips/s | p50 µs | p99 µs | to c_threads | errors |\n|---|---:|---:|---:|---:|---:|")
        names = [name for name, *shape in rounds if tuple(shape) == (connections, message_bytes)]
        rows = []
        for name in names:
            loads = rounds[name, connections, message_bytes]
            per_s, p50, p99 = (
                statistics.median(getattr(load, field) for load in loads) for field in ("per_s", "p50_us", "p99_us")
            )
            beside = ratio(rounds, name, REFERENCE, connections, message_bytes)
            errors = sum(load.errors for load in loads)
            rows.append((-per_s, f"| {name} | {per_s:,.0f} | {p50:,.0f} | {p99:,.0f} | {beside:.2f} | {errors} |"))
        print("\n".join(row for _, row in sorted(rows)), end="\n\n")


def print_targets(rounds: Rounds) -> None:
    """The ratios we set out to reach, and what this run says of them."""
    at_64 = [name for name, *shape in rounds if tuple(shape) == (64, 14)]
    threaded = [
        name
        for name in at_64
        if name.startswith(("thread_per_client", "capped_threads", "executor_pool", "bounded_pool", "elastic_pool"))
    ]
    best = max(threaded, key=lambda name: ratio(rounds, name, REFERENCE, 64, 14))
    all_models = [contender.name for contender in our_models() if not contender.one_at_a_time]
    slowest = min(all_models, key=lambda name: ratio(rounds, name, article_way().name, 64, 14))
    stdlib = "socketserver.ThreadingTCPServer"
    below = min(threaded, key=lambda name: ratio(rounds, name, stdlib, 64, 14))
    targets = [
        ("asyncio (process)", REFERENCE, 64, 14, 1.3),
        ("asyncio (process)", "C epoll, plain", 64, 14, 0.7),
        ("asyncio (process)", REFERENCE, 64, 16_384, 0.7),
        ("event_loop (process)", REFERENCE, 64, 14, 1.0),
        (best, REFERENCE, 64, 14, 0.75),
        (slowest, article_way().name, 64, 14, 25.0),
        (below, stdlib, 64, 14, 1.0),
    ]
    print("| server | beside | shape | ratio | target |\n|---|---|---|---:|---|")
    for name, other, connections, message_bytes, target in targets:
        reached = ratio(rounds, name, other, connections, message_bytes)
        word = "reached" if reached >= target else "missed"
        print(f"| {name} | {other} | {connections} x {message_bytes:,} | {reached:.2f} | {target:g} {word} |")
    print()


def print_idle(programs: Programs, clients: int) -> None:
    """What holding that many idle clients costs the serving process."""
    print(f"{clients:,} idle clients\n\n| server | threads | RSS MB | VMS MB |\n|---|---:|---:|---:|")
    for model in IDLE_MODELS:
        options = {"max_clients": clients} if model == "capped_threads" else {}
        with (
            hosted(model, placement="process", idle_timeout_s=None, **options) as (host, port),
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
