"""Which figures of a report are worth setting beside another's, where they stand, and which way is better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Better = Literal["lower", "higher"] | None
Unit = Literal["s", "ms", "us", "bytes", "per_s", "number"]
FEW, NONE_REACHED, NOT_MEASURED = "too few samples", "none reached this", "not measured"
DURATION = "totals.duration_s"
FAILED = "failed_connections"  # every connection that was due and did not complete
CPU_PER_MESSAGE = "server.cpu_us_per_message"

WHOLE, LATENCY, WAITS, SERVER, FAILURES = "The run", "Latency of messages", "Waits by part", "The server", "Failures"
_STATISTICS = {"mean": "mean", "p50": "median", "p90": "p90", "p99": "p99", "p99_9": "p99.9", "max": "max"}
_PARTS = {"connect": "connect", "backlog": "backlog wait", "queue": "queue wait", "greeting": "greeting"}
_UNITS: dict[str, Unit] = {
    "_us_per_message": "us",
    "_per_s": "per_s",
    "_ms": "ms",
    "_bytes": "bytes",
    "_s": "s",
}
_OUTCOMES = {
    "refused": "refused",
    "reset": "reset",
    "timed_out": "timed out",
    "corrupted": "corrupted",
    "not_started": "not started",
    "self_connect": "connected to itself",
    "unfinished": "unfinished",
}
_SERVER = {
    "peak_threads": "most threads",
    "peak_queue": "longest queue",
    "peak_accept_queue": "longest kernel queue",
    "cpu_s": "CPU time",
    "peak_rss_bytes": "most resident memory",
    "peak_vms_bytes": "most virtual memory",
    "voluntary_switches": "voluntary switches",
    "involuntary_switches": "involuntary switches",
}


@dataclass(frozen=True, slots=True)
class ReportFigure:
    """A figure by its path in the report, or in one group's part of it."""

    path: str
    label: str
    section: str
    better: Better = None
    group: str | None = None

    @property
    def name(self) -> str:
        """The path, within a group after the group's name."""
        return self.path if self.group is None else f"groups.{self.group}.{self.path}"

    @property
    def unit(self) -> Unit:
        """As its path names it."""
        for suffix, unit in _UNITS.items():
            if any(step.endswith(suffix) for step in self.path.split(".")):
                return unit
        return "number"


@dataclass(frozen=True, slots=True)
class FigureValue:
    """A figure's value, or why there is none."""

    value: int | float | None
    missing: str | None = None


def _all() -> Iterator[ReportFigure]:
    yield ReportFigure(DURATION, "duration", WHOLE, "lower")
    yield ReportFigure("totals.throughput_messages_per_s", "messages a second", WHOLE, "higher")
    yield ReportFigure("totals.connections.completed", "connections completed", WHOLE)
    yield ReportFigure("totals.messages.verified", "messages checked", WHOLE)
    yield ReportFigure("totals.peak_in_service", "most in service at once", WHOLE)
    yield ReportFigure("environment.load_average_1min", "load average as it began", WHOLE)
    for statistic, words in _STATISTICS.items():
        yield ReportFigure(f"latency.response_ms.{statistic}", f"response time, {words}", LATENCY, "lower")
    for statistic, words in _STATISTICS.items():
        yield ReportFigure(f"latency.round_trip_ms.{statistic}", f"round trip, {words}", LATENCY, "lower")
    yield ReportFigure("latency.lateness_ms.p99", "lateness of the clients, p99", LATENCY)
    for part, words in _PARTS.items():
        for statistic in ("mean", "p99"):
            yield ReportFigure(f"waits.{part}_ms.{statistic}", f"{words}, {statistic}", WAITS, "lower")
    for statistic in ("mean", "p99"):
        yield ReportFigure(f"waits.session_ms.{statistic}", f"session, {statistic}", WAITS)
    for name, words in _SERVER.items():
        yield ReportFigure(f"server.{name}", words, SERVER)
    yield ReportFigure(CPU_PER_MESSAGE, "CPU time a message", SERVER, "lower")
    yield ReportFigure(FAILED, "connections that failed", FAILURES, "lower")
    for outcome, words in _OUTCOMES.items():
        yield ReportFigure(f"totals.connections.{outcome}", words, FAILURES, "lower")
    yield ReportFigure("totals.messages.unanswered", "messages without an answer", FAILURES, "lower")
    yield ReportFigure("server.listen_overflows", "listen queue overflows", FAILURES, "lower")


_OF_EVERY_RUN = tuple(_all())


def figures_of(reports: Sequence[Mapping[str, Any]]) -> Iterator[ReportFigure]:
    """The figures to set side by side; of groups too, where the runs have the same ones and more than one."""
    yield from _OF_EVERY_RUN
    names = [[group["name"] for group in report["groups"]] for report in reports]
    if len(names[0]) < 2 or any(sorted(others) != sorted(names[0]) for others in names):
        return
    for name in names[0]:
        section = f"Group {name}"
        yield ReportFigure("totals.connections.completed", "connections completed", section, group=name)
        yield ReportFigure(FAILED, "connections that failed", section, "lower", name)
        for statistic in ("p50", "p99", "max"):
            words = f"response time, {_STATISTICS[statistic]}"
            yield ReportFigure(f"latency.response_ms.{statistic}", words, section, "lower", name)


def as_compared(figure: ReportFigure, report: Mapping[str, Any]) -> FigureValue:
    """The figure of this report."""
    if figure.group is not None:
        report = next(group for group in report["groups"] if group["name"] == figure.group)
    if figure.path == FAILED:
        connections = report["totals"]["connections"]
        return FigureValue(connections["due"] - connections["completed"])
    if figure.path == CPU_PER_MESSAGE:
        return _cpu_per_message(report)
    *above, last = figure.path.split(".")
    place: Any = report
    for step in above:
        place = place.get(step) or {}
    value = place.get(last)
    if value is not None:
        return FigureValue(value)
    if "count" in place:  # a distribution
        return FigureValue(None, FEW if place["count"] else NONE_REACHED)
    return FigureValue(None, NOT_MEASURED)


def _cpu_per_message(report: Mapping[str, Any]) -> FigureValue:
    cpu_s, messages = report["server"].get("cpu_s"), report["totals"]["messages"]["verified"]
    if cpu_s is None or not messages:
        return FigureValue(None, NOT_MEASURED)
    return FigureValue(cpu_s * 1e6 / messages)
