"""Time of `import webapp.client` next to `import httpx, pydantic`, each in a fresh interpreter.

Needs a quiet machine: other processes lengthen the elapsed times and their difference.

Run `python -m benchmarks.client_import`, about half a minute: 20 alternating pairs, after one that fills the caches.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.tools import machine, median_interval

ROOT = Path(__file__).parents[1]
BASELINE = "import httpx, pydantic"
CLIENT = "import webapp.client"
TARGET_S = 0.15


def interpreter_s(statement: str) -> float:
    """Return the time from the start to the end of an interpreter that executes `statement`."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True)
    return time.perf_counter() - began


def measure(pairs: int) -> list[tuple[float, float]]:
    """Measure both statements in turn; the order within a pair alternates."""
    found = []
    for number in range(pairs + 1):
        first, second = (BASELINE, CLIENT) if number % 2 else (CLIENT, BASELINE)
        took_s = {first: interpreter_s(first), second: interpreter_s(second)}
        found.append((took_s[BASELINE], took_s[CLIENT]))
    return found[1:]


def main() -> None:
    """Print the median times and the median difference, with 95 % intervals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20, help="at least 6")
    pairs = measure(parser.parse_args().pairs)
    print(machine())
    rows = {
        BASELINE: [baseline for baseline, _ in pairs],
        CLIENT: [client for _, client in pairs],
        "difference": [client - baseline for baseline, client in pairs],
    }
    for name, values in rows.items():
        median, low, high = median_interval(values)
        print(f"{name:<24}{median:8.3f} s   95 % interval {low:.3f} to {high:.3f} s")
    verdict = "reached" if median_interval(rows["difference"])[0] <= TARGET_S else "missed"
    print(f"target: difference at most {TARGET_S} s: {verdict}")


if __name__ == "__main__":
    main()
