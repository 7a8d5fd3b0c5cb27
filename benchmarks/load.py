"""Measure the load generator: against a C client at the same server, and against its own schedule.

Run `python -m benchmarks.load` (about eight minutes; `--rounds 1` for a first look). Contenders alternate within every
round, because the speed of a machine drifts. Figures are medians of the rounds.

    round trips    64 connections x 14 bytes, always busy, every reply checked: one client process of the lab, the C
                   client, and Locust with a plain socket user if it is installed. Judged against the lab's fastest
                   design with its telemetry on; also measured against a plain C server, which is faster
    lateness       delay of messages and connects at fixed rates; none may be early. For comparison, the delay with
                   which the machine wakes a C program that does nothing else. Judged against the plain C server, which
                   needs the least CPU time, with each side on its own CPU; also measured against the lab's design
                   on shared CPUs
    connections    connect, greeting, one message, close, with 64 clients that reconnect at once
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders import host_model, program
from benchmarks.tools import HERE, Programs, machine, on_cpu
from coreserver.clients.load import LoadProcesses
from coreserver.config.load import LoadConfig
from coreserver.records.client import ClientOutcome, LoadResult
from coreserver.records.messages import MessageTable, table_of
from coreserver.telemetry.machine import MachineWatch

LAB_SERVER = "asyncio"
C_SERVER = "epoll_server"
CONNECTIONS = 64
MESSAGE_BYTES = 14
SHARE_OF_C = 0.85
TIMES_LOCUST = 2.2
LATE_P99_MS = 0.3
MESSAGE_RATES = (5_000, 10_000)
CONNECT_RATE = 4_000
THINKERS = 500  # clients that produce each of those message rates together


@dataclass(frozen=True)
class Lateness:
    """Lateness in one run, in milliseconds."""

    per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    early: int
    bare_p99_ms: float  # lateness of a C program that only wakes


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="duration of each measurement")
    parser.add_argument("--server", default=LAB_SERVER, help="model of the lab that is judged")
    arguments = parser.parse_args()
    print(machine())
    watch = MachineWatch()
    with tempfile.TemporaryDirectory() as directory:
        programs = Programs(Path(directory))
        server_cpu, *load_cpus = sorted(os.sched_getaffinity(0))
        with ExitStack() as running:
            with on_cpu(server_cpu if load_cpus else None):
                port = running.enter_context(_server(C_SERVER, programs))
            name = "a plain C epoll server, apart"
            bench = Bench(name, programs, port, Path(directory), arguments.rounds, arguments.seconds, *load_cpus[:1])
            bench.round_trips()
            bench.lateness(judge=True)
            bench.connections()
        with _server(arguments.server, programs) as port:
            name = f"the lab's {arguments.server}, telemetry on, shared"
            bench = Bench(name, programs, port, Path(directory), arguments.rounds, arguments.seconds)
            bench.round_trips(judge=True)
            bench.lateness()
            bench.connections()
    if use := watch.so_far():
        # All programs of the benchmark have ended, so their CPU time is known.
        others = max(0.0, use.busy_s - use.own_s) / (use.elapsed_s * use.cores)
        print(
            f"\nother processes used {100 * others:.0f} % of the machine; {use.steal_s:.1f} s of CPU time were stolen"
        )


class Bench:
    """Measurements against `server`, which listens at `port`, each `rounds` times; the load runs on `cpu`."""

    def __init__(
        self,
        server: str,
        programs: Programs,
        port: int,
        directory: Path,
        rounds: int,
        seconds: float,
        cpu: int | None = None,
    ) -> None:
        self._server = server
        self._programs = programs
        self._port = port
        self._directory = directory
        self._rounds = rounds
        self._seconds = seconds
        self._cpu = cpu

    def round_trips(self, *, judge: bool = False) -> None:
        """Measure round trips per client process: the lab's, the C client's and, if judged, Locust's."""
        contenders = {"C client": self._c_client, "lab": self._lab}
        if judge and importlib.util.find_spec("locust"):
            contenders["Locust"] = self._locust
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        seen: dict[str, list[str]] = {name: [] for name in contenders}
        for _ in range(self._rounds):
            for name, contender in contenders.items():
                rate, latency = contender()
                rates[name].append(rate)
                seen[name].append(latency)
        shape = f"{CONNECTIONS} connections x {MESSAGE_BYTES} bytes"
        print(f"\nround trips/s of one client process, {shape}, to {self._server}")
        for name in contenders:
            print(f"  {name:<10}{statistics.median(rates[name]):>10,.0f}   {_all(rates[name])}   {seen[name][-1]}")
        ratio_to_c = _ratio(rates["lab"], rates["C client"])
        if not judge:
            print(f"  lab / C client: {ratio_to_c:.2f}")
            return
        _judge("lab / C client", ratio_to_c, SHARE_OF_C)
        if "Locust" in rates:
            _judge("lab / Locust", _ratio(rates["lab"], rates["Locust"]), TIMES_LOCUST)

    def lateness(self, *, judge: bool = False) -> None:
        """Measure the lateness of messages on open connections and of connects; all due times are known in advance."""
        for rate in MESSAGE_RATES:
            think_s = THINKERS / rate
            group = {"kind": "closed", "count": THINKERS, "think_s": think_s, "think": "exponential"}
            runs = []
            for _ in range(self._rounds):
                _, table = self._measure(group | {"duration_s": self._seconds + 1, "warm_up_s": 1.0})
                late_ns = (table.sent_ns - table.due_ns)[~table.warm_up & ~table.is_first]
                runs.append(_lateness(late_ns, self._seconds, self._bare_p99_ms(rate)))
            self._show_lateness(f"messages at {rate:,}/s on {THINKERS} open connections", runs, judge)
        group = {"kind": "open", "rate_per_s": float(CONNECT_RATE), "duration_s": self._seconds}
        runs = []
        for _ in range(self._rounds):
            result, _ = self._measure(group)
            late = [r.connect_start_ns - r.due_ns for r in result.records if r.connect_start_ns is not None]
            runs.append(_lateness(np.array(late), self._seconds, self._bare_p99_ms(CONNECT_RATE)))
        self._show_lateness(f"new connections at {CONNECT_RATE:,}/s", runs, judge)

    def connections(self) -> None:
        """Measure connections per second with clients that reconnect at once."""
        group = {"kind": "closed", "count": CONNECTIONS, "messages_per_connection": 1, "duration_s": self._seconds}
        rates = [len(self._measure(group)[0].records) / self._seconds for _ in range(self._rounds)]
        print(
            f"\nconnections/s of one client process to {self._server}: {statistics.median(rates):,.0f}   {_all(rates)}"
        )

    def _show_lateness(self, what: str, runs: Sequence[Lateness], judge: bool) -> None:
        print(f"\nlateness of {what} to {self._server}")
        for run in runs:
            figures = f"p50 {run.p50_ms:.3f}   p99 {run.p99_ms:.3f}   max {run.max_ms:.1f} ms"
            print(f"  {run.per_s:>8,.0f}/s   {figures}   a bare C timer just after: p99 {run.bare_p99_ms:.3f} ms")
        p99 = statistics.median(run.p99_ms for run in runs)
        early = sum(run.early for run in runs)
        verdict = "reached" if p99 <= LATE_P99_MS and not early else "missed"
        target = f" (target: {LATE_P99_MS} ms, none): {verdict}" if judge else ""
        print(f"  median p99 {p99:.3f} ms, {early} early{target}")

    def _measure(self, group: dict[str, Any]) -> tuple[LoadResult, MessageTable]:
        cpus = {} if self._cpu is None else {"client_cpus": [self._cpu]}
        load = LoadConfig.model_validate({"clients": [group], "client_processes": 1, **cpus})
        with LoadProcesses(("127.0.0.1", self._port), load, result_path=self._directory / "result") as clients:
            result = clients.measure(threading.Event(), lambda _: None)
        failed = [record for record in result.records if record.outcome is not ClientOutcome.COMPLETED]
        if failed:
            raise SystemExit(f"{len(failed)} clients failed, the first with {failed[0].outcome} {failed[0].detail}")
        return result, table_of(result.records)

    def _bare_p99_ms(self, rate_per_s: float) -> float:
        command = [self._programs.path("pace"), str(rate_per_s), str(self._seconds)]
        with on_cpu(self._cpu):
            found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        return float(found["p99_us"]) / 1000

    def _lab(self) -> tuple[float, str]:
        group = {"kind": "closed", "count": CONNECTIONS, "message_bytes": MESSAGE_BYTES, "duration_s": self._seconds}
        _, table = self._measure(group)
        p50, p99 = np.percentile(table.replied_ns - table.sent_ns, [50, 99]) / 1e6
        return len(table) / self._seconds, f"p50 {p50:.3f} ms, p99 {p99:.3f} ms"

    def _c_client(self) -> tuple[float, str]:
        with on_cpu(self._cpu):
            load = self._programs.load(self._port, CONNECTIONS, MESSAGE_BYTES, self._seconds)
        return load.per_s, f"p50 {load.p50_us / 1000:.3f} ms, p99 {load.p99_us / 1000:.3f} ms"

    def _locust(self) -> tuple[float, str]:
        command = [sys.executable, "-m", "locust", "-f", str(HERE / "load_locust.py"), "--headless", "--json"]
        command += ["-u", str(CONNECTIONS), "-r", str(CONNECTIONS), "-t", f"{self._seconds:.0f}s"]
        environment = os.environ | {"TARGET_PORT": str(self._port)}
        done = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
        (stats,) = json.loads(done.stdout)
        took_s = stats["last_request_timestamp"] - stats["start_time"]
        p50, p99 = _percentiles({int(ms): count for ms, count in stats["response_times"].items()}, [0.5, 0.99])
        return stats["num_requests"] / took_s, f"p50 {p50} ms, p99 {p99} ms, rounded by Locust"


@contextmanager
def _server(name: str, programs: Programs) -> Iterator[int]:
    if name == C_SERVER:
        with program(name, [programs.path(name)]).start(CONNECTIONS) as port:
            yield port
    else:
        with host_model(name, placement="process") as (_, port):
            yield port


def _lateness(late_ns: Any, seconds: float, bare_p99_ms: float) -> Lateness:
    p50, p99, most = np.percentile(late_ns, [50, 99, 100]) / 1e6
    return Lateness(len(late_ns) / seconds, p50, p99, most, int((late_ns < 0).sum()), bare_p99_ms)


def _percentiles(counts: dict[int, int], shares: Sequence[float]) -> list[int]:
    values = np.repeat(list(counts), list(counts.values()))
    return [int(value) for value in np.quantile(values, shares, method="inverted_cdf")]


def _ratio(rates: Sequence[float], peer_rates: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(rates, peer_rates, strict=True))


def _judge(what: str, ratio: float, target: float) -> None:
    print(f"  {what}: {ratio:.2f} (target: {target}): {'reached' if ratio >= target else 'missed'}")


def _all(rates: Sequence[float]) -> str:
    return " ".join(f"{rate:,.0f}" for rate in sorted(rates))


if __name__ == "__main__":
    main()
