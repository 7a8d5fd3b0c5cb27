"""Check the whole chain (schedule, clients, server, time stamps, join) against queueing theory.

Run `python -m benchmarks.queueing` (about 20 minutes on a quiet machine; `--arrivals 500` for a first look). A pool of
c workers serves Poisson arrivals, each with an exponential sleep of 20 ms on average: an M/M/c queue. The measured
waits (backlog wait plus queue wait) are compared with two predictions:

    recursion   first come, first served by c servers, computed from this run's own arrival and service times. It
                involves no chance, so a difference is caused by accepting, handing over or measuring
    Erlang C    computed from this run's arrival rate and mean service time. Single runs differ from it by 10 to 30 %,
                so it must lie in the 95 % interval of the measured mean by batch means
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from benchmarks.tools import machine
from coreserver.clock import NS_PER_S
from coreserver.config.load import LoadConfig
from coreserver.hosting.host import host_for
from coreserver.models import ServerConfig
from coreserver.reports.queueing_theory import compare, passages
from coreserver.reports.schema.figures import Theory
from coreserver.runs.execute import execute
from coreserver.telemetry.machine import MachineWatch

WORKERS = (1, 2, 4, 8)
UTILISATIONS = (0.5, 0.7, 0.85)
MEAN_MS = 20.0
WARM_UP = 0.05  # share of the arrivals: the queue begins empty, which is not its steady state

WITHIN = 0.04  # share of the recursion's mean wait …
WITHIN_MS = 0.3  # … or this, whichever is larger: accepting and handing over cost 0.1 to 0.3 ms
JUDGED_FROM_MS = 1.0  # below this, the predicted wait is smaller than the cost of handing over
INSIDE = 10 / 12  # share of the judged cells; a 95 % interval misses occasionally


@dataclass(frozen=True)
class Cell:
    """One pool at one utilisation, and the result of `compare`."""

    workers: int
    utilisation: float
    found: Theory

    @property
    def apart_ms(self) -> float:
        """Measured mean wait minus that of the recursion, in milliseconds."""
        return (self.found.wait_ms or 0.0) - (self.found.recursion_wait_ms or 0.0)

    @property
    def is_correct(self) -> bool:
        """Whether the measured mean equals the recursion's within the tolerance."""
        return abs(self.apart_ms) <= max(WITHIN * (self.found.recursion_wait_ms or 0.0), WITHIN_MS)

    @property
    def is_judged(self) -> bool:
        """Whether the wait that Erlang C predicts is long enough to test arrivals and service."""
        predicted = self.found.erlang_c_wait_ms
        return predicted is not None and predicted >= JUDGED_FROM_MS and self.found.wait_low_ms is not None

    @property
    def is_inside(self) -> bool:
        """Whether the prediction lies in the interval of the measured mean."""
        low_ms, high_ms = self.found.wait_low_ms or 0.0, self.found.wait_high_ms or 0.0
        return low_ms <= (self.found.erlang_c_wait_ms or 0.0) <= high_ms


def main() -> None:
    """Measure and print the table and its summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arrivals", type=int, default=7_000, help="mean number of arrivals of each cell")
    parser.add_argument(
        "--at-once", type=int, default=1, help="cells measured at the same time: faster, but they disturb each other"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the first cell; each cell has its own")
    arguments = parser.parse_args()
    print(f"{machine()}\n")
    watch = MachineWatch()
    pairs = [(workers, utilisation) for workers in WORKERS for utilisation in UTILISATIONS]
    with ThreadPoolExecutor(arguments.at_once) as at_once:
        jobs = [
            at_once.submit(measure, *pair, arrivals=arguments.arrivals, seed=arguments.seed + number)
            for number, pair in enumerate(pairs)
        ]
        cells = [job.result() for job in jobs]
    print(table(cells))
    print(summary(cells))
    if use := watch.so_far():  # all servers and clients have ended, so their CPU time is known
        others = max(0.0, use.busy_s - use.own_s) / (use.elapsed_s * use.cores)
        print(f"other processes used {others:.0%} of the machine; above a few percent they lengthen the waits above")


def measure(workers: int, utilisation: float, *, arrivals: int, seed: int) -> Cell:
    """Measure one run with `arrivals` arrivals on average."""
    rate_per_s = workers * utilisation * 1000 / MEAN_MS
    duration_s = arrivals / rate_per_s
    warm_up_s = WARM_UP * duration_s
    group = {"kind": "open", "rate_per_s": rate_per_s, "duration_s": duration_s, "warm_up_s": warm_up_s}
    load = LoadConfig.model_validate({"clients": [group], "seed": seed, "client_processes": 1})
    host = host_for(TypeAdapter(ServerConfig).validate_python(pool(workers, seed)))
    host.start()
    try:
        with tempfile.TemporaryDirectory() as directory:
            result = execute(
                host, load, result_path=Path(directory) / "result", cancel=threading.Event(), on_progress=lambda _: None
            )
    finally:
        host.stop()
    through = passages(result.connections)
    if result.outcome != "completed" or through is None:
        raise SystemExit(f"{workers} workers at {utilisation}: {result.failure_detail or 'records are missing'}")
    from_s = result.load.started_ns / NS_PER_S + warm_up_s
    cell = Cell(workers, utilisation, compare(through, workers, from_s=from_s, is_markovian=True))
    print(f"{workers} workers at {utilisation}: {cell.found.wait_ms or 0.0:.2f} ms", file=sys.stderr)
    return cell


def pool(workers: int, seed: int) -> dict[str, Any]:
    """Return the settings of a pool in which every connection waits for a worker and none is refused."""
    work = {"kind": "sleep", "mean_ms": MEAN_MS, "distribution": "exponential", "per": "connection"}
    options = {"placement": "process", "backlog": 4096, "queue_limit": 10_000, "when_full": "wait"}
    return {"model": "bounded_pool", "workers": workers, "work": work, "seed": seed, **options}


def table(cells: Sequence[Cell]) -> str:
    """Return one row per cell as a Markdown table."""
    lines = [
        "| c | utilisation | arrivals | wait ms | 95 % interval | recursion ms | apart ms | | Erlang C ms | |",
        "|---:|---|---:|---:|---|---:|---:|---|---:|---|",
    ]
    for cell in cells:
        found = cell.found
        low, high = found.wait_low_ms, found.wait_high_ms
        interval = "too few" if low is None or high is None else f"{low:.2f} to {high:.2f}"
        erlang = found.erlang_c_wait_ms
        lines.append(
            f"| {cell.workers} | {cell.utilisation} ({found.utilisation or 0.0:.3f}) | {found.arrivals:,} "
            f"| {found.wait_ms or 0.0:.2f} | {interval} | {found.recursion_wait_ms or 0.0:.2f} | {cell.apart_ms:+.2f} "
            f"| {'correct' if cell.is_correct else 'WRONG'} | {'none' if erlang is None else f'{erlang:.2f}'} "
            f"| {('inside' if cell.is_inside else 'OUTSIDE') if cell.is_judged else 'not judged'} |"
        )
    return "\n".join(lines)


def summary(cells: Sequence[Cell]) -> str:
    """Return how many cells meet the two targets."""
    correct = sum(cell.is_correct for cell in cells)
    judged = [cell for cell in cells if cell.is_judged]
    inside = sum(cell.is_inside for cell in judged)
    enough = "reached" if inside >= INSIDE * len(judged) else "missed"
    return (
        f"\nrecursion: {correct} of {len(cells)} within {WITHIN:.0%} or {WITHIN_MS} ms, "
        f"{'reached' if correct == len(cells) else 'missed'}"
        f"\nErlang C: inside the interval in {inside} of {len(judged)} judged cells (target: 10 of 12), {enough}"
    )


if __name__ == "__main__":
    main()
