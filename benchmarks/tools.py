"""Shared tools of the benchmarks: the C programs and their load, the machine, medians with an interval."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Load:
    """Result of the C load client."""

    per_s: float
    p50_us: float
    p99_us: float
    errors: int


class Programs:
    """The C programs of the benchmarks, compiled into `directory` on first use."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, name: str) -> str:
        """Return the path of the executable of `benchmarks/NAME.c`."""
        target = self._directory / name
        if not target.exists():
            compiler = shutil.which("cc")
            if compiler is None:
                raise SystemExit("the benchmarks need a C compiler named cc")
            source = HERE / f"{name}.c"
            subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", target, source], check=True)
        return str(target)

    def load(self, port: int, connections: int, message_bytes: int, seconds: float) -> Load:
        """Measure closed-loop round trips with every connection always busy."""
        arguments = [str(port), str(connections), str(message_bytes), str(seconds)]
        done = subprocess.run([self.path("load_client"), *arguments], stdout=subprocess.PIPE, check=True, text=True)
        result = json.loads(done.stdout.splitlines()[-1])
        return Load(result["round_trips"] / result["seconds"], result["p50_us"], result["p99_us"], result["errors"])

    def load_on(
        self, server: AbstractContextManager[int], connections: int, message_bytes: int, seconds: float, *, apart: bool
    ) -> Load:
        """Start `server`, measure `load` on it and stop it; `apart` gives each side its own CPU if there are two."""
        server_cpu, *others = sorted(os.sched_getaffinity(0))
        apart = apart and bool(others)
        with ExitStack() as running:
            with on_cpu(server_cpu if apart else None):
                port = running.enter_context(server)
            with on_cpu(others[0] if apart else None):
                return self.load(port, connections, message_bytes, seconds)

    @contextmanager
    def holding(self, port: int, connections: int, deadline_s: float) -> Iterator[None]:
        """Hold `connections` idle clients, all greeted, while the block runs."""
        arguments = [str(port), str(connections), "0", str(deadline_s)]
        with subprocess.Popen([self.path("load_client"), *arguments], stdout=subprocess.PIPE, text=True) as clients:
            try:
                first = clients.stdout.readline() if clients.stdout else ""
                if first != "held\n":
                    raise SystemExit(f"{connections} idle clients could not be held: {first}")
                yield
            finally:
                clients.kill()


@contextmanager
def on_cpu(cpu: int | None) -> Iterator[None]:
    """Restrict this thread, and the threads and programs that it starts in the block, to one CPU; None: any CPU."""
    usable = os.sched_getaffinity(0)
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


def machine() -> str:
    """Return a one-line description of the machine."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return (
        f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def alternating(pairs: int, first: Callable[[], float], second: Callable[[], float]) -> list[float]:
    """Return the ratios `first` / `second` of `pairs` pairs whose order alternates."""
    ratios = []
    for number in range(pairs):
        if number % 2:
            dividend = first()
            ratios.append(dividend / second())
        else:
            divisor = second()
            ratios.append(first() / divisor)
    return ratios


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median of at least 6 values and its interval at a confidence of at least 95 % (order statistics)."""
    ordered = sorted(values)
    count = len(ordered)
    outside, low = 0.5**count, 0
    step = 0.5**count
    while True:
        step = step * (count - low) / (low + 1)
        if 2 * (outside + step) > 0.05:
            break
        outside += step
        low += 1
    return statistics.median(ordered), ordered[low], ordered[count - 1 - low]
