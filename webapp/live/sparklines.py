"""Sparklines: small charts of a server's last minute, from its samples every 100 ms, and of a run in progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coreserver.clock import NS_PER_S
from coreserver.records.samples import Sample
from webapp import formatting
from webapp.live.worker_lanes import WIDTH, WINDOW_S

HEIGHT = 100
CPU_UNIT = 10  # percent; a scale has one unit at least
MEMORY_UNIT = 2**20
VIRTUAL_UNIT = 2**30
RATES_OVER = 5  # samples; the kernel counts CPU time in ticks that are too coarse for 100 ms
COLUMNS = (
    "at_s", "in_service", "waiting", "accept_queue", "threads_alive", "threads_busy", "cpu_percent", "rss_bytes",
    "listen_overflows", "vms_bytes", "voluntary_per_s", "involuntary_per_s",
)  # fmt: skip
SWITCHES = ("voluntary_per_s", "involuntary_per_s")
Row = tuple[float | None, ...]


@dataclass(frozen=True)
class Chart:
    """One sparkline with a line per column, the first one filled."""

    label: str
    columns: tuple[str, ...]
    value: str
    top: str
    area: str
    paths: tuple[str, ...]
    words: str


def sample_rows(samples: Sequence[Sample]) -> list[Row]:
    """Return the samples in the order of COLUMNS. The first has no differences, the first few have no rates."""
    before = [None] * RATES_OVER + list(samples)
    last = [None, *samples]
    return [_row(*seen) for seen in zip(samples, before, last, strict=False)]


def _row(sample: Sample, before: Sample | None, last: Sample | None) -> Row:
    cpu = voluntary = involuntary = None
    if before is not None and (elapsed_ns := sample.at_ns - before.at_ns) > 0:
        per_s = NS_PER_S / elapsed_ns
        cpu = round(100 * (sample.cpu_s - before.cpu_s) * per_s, 1)
        voluntary = round((sample.voluntary_switches - before.voluntary_switches) * per_s, 1)
        involuntary = round((sample.involuntary_switches - before.involuntary_switches) * per_s, 1)
    overflows = None
    if last is not None and sample.listen_overflows is not None and last.listen_overflows is not None:
        overflows = sample.listen_overflows - last.listen_overflows
    return (
        round(sample.at_ns / NS_PER_S, 2),
        sample.in_service,
        sample.waiting,
        sample.accept_queue,
        sample.threads_alive,
        sample.threads_busy,
        cpu,
        sample.rss_bytes,
        overflows,
        sample.vms_bytes,
        voluntary,
        involuntary,
    )


def server_sparklines(rows: Sequence[Row], at_ns: int, *, is_alone: bool) -> tuple[Chart, ...]:
    """Return the sparklines of the last minute; CPU and memory are those of the server's process if it `is_alone`."""
    process = "its process" if is_alone else "the lab's process"
    return (
        sparkline("in service", ("in_service",), rows, at_ns),
        sparkline("in the queue", ("waiting",), rows, at_ns),
        sparkline("in the backlog", ("accept_queue",), rows, at_ns),
        sparkline("connects dropped by full backlogs, on this machine", ("listen_overflows",), rows, at_ns),
        sparkline("threads, busy threads", ("threads_alive", "threads_busy"), rows, at_ns),
        sparkline(f"CPU of {process}", ("cpu_percent",), rows, at_ns, _percent, CPU_UNIT),
        sparkline("context switches per second, voluntary and involuntary", SWITCHES, rows, at_ns),
        sparkline(f"memory of {process}", ("rss_bytes",), rows, at_ns, formatting.size, MEMORY_UNIT),
        sparkline(f"virtual memory of {process}", ("vms_bytes",), rows, at_ns, formatting.size, VIRTUAL_UNIT),
    )


def _percent(value: float | None) -> str:
    return formatting.NONE if value is None else f"{value:.0f}{formatting.NARROW}%"


def sparkline(
    label: str,
    columns: tuple[str, ...],
    rows: Sequence[Row],
    at_ns: int,
    reading: Callable[[float | None], str] = formatting.count,
    unit: float = 1,
    *,
    of: Sequence[str] = COLUMNS,
    window_s: float = WINDOW_S,
) -> Chart:
    """Return the sparkline of some columns of `rows` over the last `window_s` before `at_ns`.

    Args:
        unit: the scale's minimum, and what its maximum is a multiple of.
        of: names of all columns of `rows`.
    """
    places = [of.index(column) for column in columns]
    highest = max([row[place] or 0 for row in rows for place in places], default=0)
    top = nice_top(highest / unit) * unit
    last = rows[-1] if rows else (None,) * len(of)
    known = [reading(last[place]) for place in places if last[place] is not None]
    paths = tuple(line(rows, place, top, at_ns, window_s) for place in places)
    return Chart(
        label=label,
        columns=columns,
        value=", ".join(known) or formatting.NONE,
        top=reading(top),
        area=area_under(paths[0]),
        paths=paths,
        words=f"{label}, the last minute: now {' and '.join(known) or 'unknown'}, at most {reading(highest)}",
    )


def nice_top(highest: float) -> float:
    """Return the smallest 1, 2 or 5 times a power of ten that is not below `highest`."""
    if highest <= 1:
        return 1
    power: float = 10 ** math.floor(math.log10(highest))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= highest)


def area_under(path: str) -> str:
    """Return the path of the area under a line; empty for a line with gaps."""
    if path.count("M") != 1:
        return ""
    ends = [path[1:].split(" ", 1)[0], path.rsplit("L", 1)[-1].split(" ", 1)[0].lstrip("M")]
    return f"{path}L{ends[1]} {HEIGHT}L{ends[0]} {HEIGHT}z"


def line(rows: Sequence[Row], place: int, top: float, at_ns: int, window_s: float = WINDOW_S) -> str:
    """Return one column as an SVG path; an unknown value leaves a gap. Equal neighbours have one point at each end."""
    since_s, scale = at_ns / NS_PER_S - window_s, WIDTH / window_s
    points: list[str] = []
    before: float | None = None
    flat_to_s: float | None = None
    y = ""
    for row in rows:
        value, at_s = row[place], row[0] or 0.0
        if at_s < since_s:
            continue
        if value == before:
            flat_to_s = at_s if value is not None else None
            continue
        if flat_to_s is not None:
            points.append(f"L{(flat_to_s - since_s) * scale:.0f} {y}")
            flat_to_s = None
        if value is not None:
            y = f"{HEIGHT * (1 - value / top):.1f}"
            points.append(f"{'M' if before is None else 'L'}{(at_s - since_s) * scale:.0f} {y}")
        before = value
    if flat_to_s is not None:
        points.append(f"L{(flat_to_s - since_s) * scale:.0f} {y}")
    return "".join(points)
