"""Measure the lab's pages: server time, transfer, browser time, and the effect of an open live page on a run.

Run `python -m benchmarks.pages` (`--quick`: fewer repeats). `--only live` takes about ten minutes. The lab has its own
process. All runs are real; the 10,000 in the list are copies of a few.

A page is *interactive* once its load event has ended, its timeline listens to the pointer, and no task of more than
50 ms has held the browser's main thread for a second; the time is that of the last of the three, counted from the
request, and includes the server's time. The browser begins each load with empty caches.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.browsing import PageLoad, load_page
from benchmarks.lab import LabProcess
from benchmarks.live_pages import print_live_cost
from benchmarks.many_runs import many_runs
from benchmarks.tools import Programs, machine

SIZES = {3: None, 1_000: 1.0, 20_000: 2.5}  # connections of a run: target of seconds to interactive
LIST_TARGET_MS = 100.0


def main() -> None:
    """Measure, and print the tables and the targets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats and smaller runs")
    parser.add_argument("--only", choices=("server", "list", "browser", "live"), help="one part alone")
    arguments = parser.parse_args()
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        if arguments.only in (None, "server", "browser"):
            with LabProcess(here / "runs") as lab:
                runs = make_runs(lab, (3, 1_000, 2_000) if arguments.quick else tuple(SIZES))
                if arguments.only != "browser":
                    print_server_time(lab, runs, repeats=5 if arguments.quick else 30)
                if arguments.only != "server":
                    print_browser_time(lab, runs, repeats=2 if arguments.quick else 7)
        if arguments.only in (None, "list"):
            many_runs(here / "list", copies=1_000 if arguments.quick else 10_000)
            with LabProcess(here / "list") as lab:
                print_list(lab, repeats=5 if arguments.quick else 30)
        if arguments.only in (None, "live"):
            with LabProcess(here / "live") as lab:
                print_live_cost(lab, Programs(here), quick=arguments.quick)


def make_runs(lab: LabProcess, sizes: tuple[int, ...]) -> dict[int, int]:
    """Execute one run per number of connections; return their ids."""
    article = {"kind": "script", "count": 3, "script": "article"}
    runs = {3: lab.run({"model": "bounded_pool", "workers": 2}, article, label="the three of the article")["id"]}
    server = {"model": "asyncio", "placement": "process", "backlog": 4096}
    for size in sizes:
        if size not in runs:
            rate = min(size, 4_000)
            arrivals = {"kind": "open", "arrivals": "constant", "rate_per_s": rate, "duration_s": size / rate}
            run = lab.run(server, arrivals, label=f"{size} arrivals")
            if (due := run["totals"]["connections"]["due"]) != size:
                raise SystemExit(f"expected {size} due connections, got {due}")
            runs[size] = run["id"]
    return runs


# --- the server's side -----------------------------------------------------------------------------------------------


def print_server_time(lab: LabProcess, runs: dict[int, int], repeats: int) -> None:
    """Print one row per page and file: the server's time and the transferred bytes."""
    server = lab.ask("/servers", {"model": "bounded_pool", "workers": 8})["id"]
    small, *_, large = runs.values()
    addresses = {"dashboard": "/", "server": f"/servers/{server}", "runs": "/runs", "REST API": "/docs"}
    addresses |= {f"run of {size:,} connections": f"/runs/{run}" for size, run in runs.items()}
    addresses |= {"compare two runs": f"/compare?run={small}&run={large}"}
    files = {"report.json": "report.json", "report.html": "report.html", "connections.csv": "connections.csv"}
    files |= {"trace": "trace", "timeline.svg": "charts/timeline.svg"}
    addresses |= {f"{name} of the largest run": f"/api/v1/runs/{large}/{path}" for name, path in files.items()}
    print(f"Server time and transfer, median of {repeats} requests on a kept connection\n")
    print("| page | ms | kB | kB if gzipped |\n|---|---:|---:|---:|")
    for name, path in addresses.items():
        took_ms, body = fetch(lab.http, path, repeats)
        print(f"| {name} | {took_ms:.1f} | {len(body) / 1e3:,.1f} | {len(gzip.compress(body)) / 1e3:,.1f} |")
    print()


def fetch(http: httpx.Client, path: str, repeats: int) -> tuple[float, bytes]:
    """Return the median time of a request to its last byte in milliseconds, and the body."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        answer = http.get(path, headers={"Accept": "text/html"}).raise_for_status()
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times), answer.content


def print_list(lab: LabProcess, repeats: int) -> None:
    """Print the time of the list of runs with each filter and order."""
    total = lab.http.get("/api/v1/runs", params={"limit": 1}).json()["runs"][0]["id"]
    addresses = {
        "newest first": "/runs",
        "by label": "/runs?sort=label",
        "one design": "/runs?model=asyncio",
        "a label that is rare": "/runs?label=9999",
        "a label that is nowhere": "/runs?label=nothing+is+called+so",
        "a verdict and a state": "/runs?verdict=valid&state=completed",
        "the 100th page": nth_page(lab.http, 100),
    }
    print(f"The list of {total:,} runs, median of {repeats} requests\n")
    print("| runs | ms per page | kB | target 100 ms |\n|---|---:|---:|---|")
    for name, path in addresses.items():
        took_ms, body = fetch(lab.http, path, repeats)
        print(f"| {name} | {took_ms:.1f} | {len(body) / 1e3:,.1f} | {word(took_ms <= LIST_TARGET_MS)} |")
    print()


def nth_page(http: httpx.Client, number: int) -> str:
    """Return the address of page `number` of the list."""
    cursor = None
    for _ in range(number - 1):
        params: dict[str, Any] = {"limit": 50} | ({"cursor": cursor} if cursor else {})
        following = http.get("/api/v1/runs", params=params).json()["next_cursor"]
        if following is None:
            break
        cursor = following
    return f"/runs?cursor={cursor}" if cursor else "/runs"


# --- the browser's side ----------------------------------------------------------------------------------------------


def print_browser_time(lab: LabProcess, runs: dict[int, int], repeats: int) -> None:
    """Print one row per run: when its page is painted, loaded and interactive in Chromium."""
    print(f"The page of a run in Chromium, empty caches, median of {repeats} loads (slowest), seconds\n")
    print("| connections | first paint | loaded | timeline ready | interactive | long tasks | target |")
    print("|---:|---:|---:|---:|---:|---:|---|")
    for size, run in runs.items():
        loads = load_page(lab.url, f"/runs/{run}", repeats)
        interactive = statistics.median(load.interactive_s for load in loads)
        target = SIZES.get(size)
        said = f"{target:g} {word(interactive <= target)}" if target else ""
        columns = [
            spread(loads, name) for name in ("painted_s", "loaded_s", "ready_s", "interactive_s", "long_tasks_s")
        ]
        print(f"| {size:,} | {' | '.join(columns)} | {said} |")
    print()


def spread(loads: list[PageLoad], name: str) -> str:
    """Return the median and the maximum."""
    values = [getattr(load, name) for load in loads]
    return f"{statistics.median(values):.2f} ({max(values):.2f})"


def word(is_reached: bool) -> str:
    """Return the word for a target."""
    return "reached" if is_reached else "missed"


if __name__ == "__main__":
    main()
