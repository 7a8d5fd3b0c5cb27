"""A server's last minute as small charts: what it measured of itself every 100 ms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coreserver.clock import NS_PER_S
from coreserver.records.samples import Sample
from webapp import formatting
from webapp.live.worker_lanes import WIDTH, WINDOW_S

HEIGHT = 100
CPU_UNIT = 10  # per cent: scales begin at one unit, since less is nothing
MEMORY_UNIT = 2**20
VIRTUAL_UNIT = 2**30
RATES_OVER = 5  # samples: CPU time moves in ticks of the kernel's own, too coarse for a tenth of a second
COLUMNS = (
    "at_s", "in_service", "waiting", "accept_queue", "threads_alive", "threads_busy", "cpu_percent", "rss_bytes",
    "listen_overflows", "vms_bytes", "voluntary_per_s", "involuntary_per_s",
)  # fmt: skip
SWITCHES = ("voluntary_per_s", "involuntary_per_s")
Row = tuple[float | None, ...]


@dataclass(frozen=True)
class Chart:
    """One chart: a line for each of its columns, the first one filled."""

    label: str
    columns: tuple[str, ...]
    value: str
    top: str
    area: str
    paths: tuple[str, ...]
    words: str


def rows_of(samples: Sequence[Sample]) -> list[Row]:
    """The samples in the order of COLUMNS; differences are not known of the first, rates of the first few."""
    before = [None] * RATES_OVER + list(samples)
    last = [None, *samples]
    return [_row(sample, *earlier) for sample, *earlier in zip(samples, before, last, strict=False)]


def _row(sample: Sample, before: Sample | None, last: Sample | None) -> Row:
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
        _per_s(sample, before, lambda of: 100 * of.cpu_s),
        sample.rss_bytes,
        overflows,
        sample.vms_bytes,
        _per_s(sample, before, lambda of: of.voluntary_switches),
        _per_s(sample, before, lambda of: of.involuntary_switches),
    )


def _per_s(sample: Sample, before: Sample | None, counter: Callable[[Sample], float]) -> float | None:
    """How much a counter grew a second from one sample to the other."""
    if before is None or sample.at_ns <= before.at_ns:
        return None
    return round((counter(sample) - counter(before)) * NS_PER_S / (sample.at_ns - before.at_ns), 1)


def charts(rows: Sequence[Row], at_ns: int, *, is_alone: bool) -> tuple[Chart, ...]:
    """The charts of the last minute; `is_alone`: the server has a process of its own, which CPU and memory speak of."""
    process = "its process" if is_alone else "the process of the lab"
    return (
        chart_of("in service", ("in_service",), rows, at_ns),
        chart_of("waiting in the server", ("waiting",), rows, at_ns),
        chart_of("waiting in the kernel", ("accept_queue",), rows, at_ns),
        chart_of("turned away by a full kernel queue, anywhere here", ("listen_overflows",), rows, at_ns),
        chart_of("threads, and of them busy", ("threads_alive", "threads_busy"), rows, at_ns),
        chart_of(f"CPU of {process}", ("cpu_percent",), rows, at_ns, _percent, CPU_UNIT),
        chart_of("its context switches a second, voluntary and not", SWITCHES, rows, at_ns),
        chart_of(f"memory of {process}", ("rss_bytes",), rows, at_ns, formatting.size, MEMORY_UNIT),
        chart_of("its virtual memory", ("vms_bytes",), rows, at_ns, formatting.size, VIRTUAL_UNIT),
    )


def _percent(value: float | None) -> str:
    return formatting.NONE if value is None else f"{value:.0f}{formatting.NARROW}%"


def chart_of(
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
    """A chart of some columns of rows that have the columns `of`, the last `window_s` up to `at_ns` wide.

    Args:
        unit: a scale is at least one of it.
    """
    places = [of.index(column) for column in columns]
    highest = max((row[place] or 0 for row in rows for place in places), default=0)
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
        words=f"{label}, the last minute: now {' and '.join(known) or 'not known'}, at most {reading(highest)}",
    )


def nice_top(highest: float) -> float:
    """The end of a scale that holds `highest`: 1, 2 or 5 times a power of ten."""
    if highest <= 1:
        return 1
    power: float = 10 ** math.floor(math.log10(highest))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= highest)


def area_under(path: str) -> str:
    """The area between a line without breaks and the bottom; a line with a break has none."""
    if path.count("M") != 1:
        return ""
    ends = [path[1:].split(" ", 1)[0], path.rsplit("L", 1)[-1].split(" ", 1)[0].lstrip("M")]
    return f"{path}L{ends[1]} {HEIGHT}L{ends[0]} {HEIGHT}z"


def line(rows: Sequence[Row], place: int, top: float, at_ns: int, window_s: float = WINDOW_S) -> str:
    """One column as an SVG path; a value that is not known breaks the line."""
    at_s = at_ns / NS_PER_S
    points = []
    pen = "M"
    for row in rows:
        value, sampled_s = row[place], row[0] or 0.0
        x = WIDTH * (1 - (at_s - sampled_s) / window_s)
        if value is None:
            pen = "M"
        elif x >= 0:
            points.append(f"{pen}{x:.0f} {HEIGHT * (1 - value / top):.1f}")
            pen = "L"
    return "".join(points)
