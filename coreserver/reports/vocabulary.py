"""The vocabulary of a report: label, unit, direction and explanation of every figure, in the order of display.

Pages, CLI tables, charts, comparisons, objectives, the glossary and the JSON Schema read it here. A figure is named by
its path in the report, such as `totals.duration_s`. The statistics of a distribution are the product of `SPANS` and
`STATISTICS`: `latency.response_ms` and `p99` give `latency.response_ms.p99`. The module imports the standard library
only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher"] | None  # None: neither, or it depends
Unit = Literal["s", "ms", "us", "bytes", "per_s", "percent", "number"]

FAILURES = "Failures"
SECTIONS = {
    "window": "The run",
    "totals": "The run",
    "latency": "Latency of messages",
    "waits": "Waits by part",
    "server": "The server",
    "environment": "The machine",
    "theory": "Queueing theory",
    "series": "Over time",
}
FAILED = "failed_connections"
CPU_PER_MESSAGE = "server.cpu_us_per_message"

# Names carry their units; the first suffix that matches decides.
_UNITS: dict[str, Unit] = {
    "_us_per_message": "us",
    "_per_s": "per_s",
    "_percent": "percent",
    "_ms": "ms",
    "bytes": "bytes",
    "_s": "s",
}


@dataclass(frozen=True, slots=True)
class FigureEntry:
    """One figure of a report.

    Attributes:
        path: its place in the report; the two figures that are computed from others are not in the report.
        better: the direction that is better; None: neither, or it depends.
        explanation: one sentence without a full stop.
        is_compared: whether comparisons of runs list it.
        heading: the section of comparisons that lists it; empty: that of its part of the report.
    """

    path: str
    label: str
    better: Better
    explanation: str
    is_compared: bool = True
    heading: str = ""

    @property
    def part(self) -> str:
        """The part of the report that holds it, such as `totals`."""
        return self.path.partition(".")[0]

    @property
    def name(self) -> str:
        """The last step of its path, such as `duration_s`."""
        return self.path.rpartition(".")[2]

    @property
    def unit(self) -> Unit:
        """The unit of its values, from its name; `number` is a count or a plain number."""
        if self.name == "count":
            return "number"
        steps = self.path.split(".")
        return next((unit for suffix, unit in _UNITS.items() if any(s.endswith(suffix) for s in steps)), "number")

    @property
    def section(self) -> str:
        """The section of comparisons that lists it."""
        return self.heading or SECTIONS[self.part]

    @property
    def objective(self) -> str:
        """Its name in objectives: `response_p99_ms`, `refused_connections`, `cpu_s`."""
        part, *steps = self.path.split(".")
        if part in ("latency", "waits"):
            return f"{steps[0].removesuffix('_ms')}_{steps[1]}_ms"
        return "_".join(reversed(steps)) or part


@dataclass(frozen=True, slots=True)
class Span:
    """A distribution of durations in milliseconds; comparisons list the statistics that `compared` names."""

    path: str
    label: str
    better: Better
    explanation: str
    compared: tuple[str, ...]

    @property
    def name(self) -> str:
        """The last step of its path, such as `response_ms`."""
        return self.path.rpartition(".")[2]

    def entries(self) -> Iterator[FigureEntry]:
        """Yield one figure per statistic."""
        for name, (label, meaning) in STATISTICS.items():
            better = None if name == "count" else self.better
            explanation = f"{self.explanation}: {meaning}"
            path, is_compared = f"{self.path}.{name}", name in self.compared
            yield FigureEntry(path, f"{self.label}, {label}", better, explanation, is_compared)


# The statistics of a distribution: label and explanation.
STATISTICS = {
    "count": ("count", "number of samples"),
    "mean": ("mean", "arithmetic mean; null without samples"),
    "min": ("min", "smallest sample; null without samples"),
    "p50": ("median", "50th percentile; null below 20 samples"),
    "p90": ("p90", "90th percentile; null below 100 samples"),
    "p99": ("p99", "99th percentile; null below 1,000 samples"),
    "p99_9": ("p99.9", "99.9th percentile; null below 10,000 samples"),
    "max": ("max", "largest sample; null without samples"),
}
DURATIONS = tuple(name for name in STATISTICS if name != "count")  # the statistics that are times

_MEAN_TO_MAX, _MEAN_AND_P99 = ("mean", "p50", "p90", "p99", "p99_9", "max"), ("mean", "p99")

# fmt: off
SPANS = (
    Span("latency.response_ms", "response time", "lower",
         "message due to last byte of its reply", _MEAN_TO_MAX),
    Span("latency.round_trip_ms", "round trip", "lower",
         "message sent to last byte of its reply", _MEAN_TO_MAX),
    Span("latency.lateness_ms", "lateness", None,
         "delay of the load generator itself, never of the server", ("p99",)),
    Span("waits.connect_ms", "connect", "lower",
         "start of connect to connected: the TCP handshake", _MEAN_AND_P99),
    Span("waits.backlog_ms", "backlog wait", "lower",
         "connected to accepted: time in the kernel's accept queue", _MEAN_AND_P99),
    Span("waits.queue_ms", "queue wait", "lower",
         "accepted to start of service: time in the server's own queue", _MEAN_AND_P99),
    Span("waits.greeting_ms", "greeting wait", "lower",
         "start of service to greeting read by the client", _MEAN_AND_P99),
    Span("waits.session_ms", "session", None,
         "greeting read to connection closed by the client", _MEAN_AND_P99),
)

# Figures before and after those of `SPANS`.
_RUN = (
    FigureEntry("window.from_s", "window from", None,
                "start of the measured span, in seconds of the run; what is due earlier is warm-up", False),
    FigureEntry("window.until_s", "window until", None,
                "end of the measured span, in seconds of the run; later replies do not count as throughput", False),
    FigureEntry("totals.duration_s", "duration", "lower",
                "first connection due to last one closed; null if no connection was closed"),
    FigureEntry("totals.throughput_messages_per_s", "throughput", "higher",
                "messages per second whose reply was correct and ended within the window"),
    FigureEntry("totals.connections.completed", "connections completed", None,
                "connections that did all that was requested, with correct replies"),
    FigureEntry("totals.messages.verified", "messages verified", None,
                "messages whose whole reply was correct"),
    FigureEntry("totals.peak_in_service", "peak in service", None,
                "largest number of connections in service at one instant, by the server's records"),
    FigureEntry("totals.connections.due", "connections due", None,
                "all connections that were due, also those that were never attempted", False),
    FigureEntry("totals.connections.connected", "connected", None,
                "connections whose TCP handshake succeeded", False),
    FigureEntry("totals.connections.greeted", "greeted", None,
                "connections whose client read the greeting `*`", False),
    FigureEntry("totals.messages.sent", "messages sent", None,
                "all messages that clients sent", False),
    FigureEntry("totals.warm_up.connections", "connections in the warm-up", None,
                "connections due before the end of their group's warm-up", False),
    FigureEntry("totals.warm_up.messages", "messages in the warm-up", None,
                "messages due before the end of their group's warm-up", False),
    FigureEntry("totals.bytes.sent", "bytes sent", None,
                "payload bytes that clients passed to the kernel", False),
    FigureEntry("totals.bytes.received", "bytes received", None,
                "payload bytes that clients read", False),
    FigureEntry("environment.load_average_1min", "load average", None,
                "load average of the machine over one minute, at the end of the run", heading=SECTIONS["totals"]),
)
_SERVER = (
    FigureEntry("server.backlog_effective", "effective backlog", None,
                "requested backlog, capped by net.core.somaxconn", False),
    FigureEntry("server.peak_threads", "peak threads", None,
                "largest number of threads of the server design"),
    FigureEntry("server.peak_queue", "longest queue", None,
                "largest number of connections in the server's own queue"),
    FigureEntry("server.peak_accept_queue", "longest backlog", None,
                "largest number of connections in the kernel's accept queue"),
    FigureEntry("server.cpu_s", "CPU time", None,
                "CPU time of the process that serves, during the run"),
    FigureEntry("server.peak_rss_bytes", "peak resident memory", None,
                "largest resident memory of the process that serves"),
    FigureEntry("server.peak_vms_bytes", "peak virtual memory", None,
                "largest virtual memory of the process that serves"),
    FigureEntry("server.voluntary_switches", "voluntary switches", None,
                "context switches of the process that serves when it had to wait"),
    FigureEntry("server.involuntary_switches", "involuntary switches", None,
                "context switches of the process that serves when it was preempted"),
    FigureEntry(CPU_PER_MESSAGE, "CPU time per message", "lower",
                "CPU time divided by the messages verified"),
)
_FAILURES = (
    FigureEntry(FAILED, "failed connections", "lower",
                "connections that were due and did not complete", heading=FAILURES),
    FigureEntry("totals.connections.refused", "refused", "lower",
                "connections refused by the kernel, or closed by the server before the greeting", heading=FAILURES),
    FigureEntry("totals.connections.reset", "reset", "lower",
                "connections reset by the server, or closed by it before the client finished", heading=FAILURES),
    FigureEntry("totals.connections.timed_out", "timed out", "lower",
                "connections without progress within the group's `timeout_s`", heading=FAILURES),
    FigureEntry("totals.connections.corrupted", "corrupted", "lower",
                "connections that got a byte that the protocol does not allow", heading=FAILURES),
    FigureEntry("totals.connections.not_started", "not started", "lower",
                "connections that were never attempted", heading=FAILURES),
    FigureEntry("totals.connections.self_connect", "connected to itself", "lower",
                "connections that the kernel made from a socket to itself", heading=FAILURES),
    FigureEntry("totals.connections.cancelled", "cancelled", None,
                "connections open when the run was cancelled", False),
    FigureEntry("totals.connections.unfinished", "unfinished", "lower",
                "connections without an outcome, because their client process died", heading=FAILURES),
    FigureEntry("totals.messages.corrupted", "messages corrupted", "lower",
                "messages with a wrong byte in the reply", False),
    FigureEntry("totals.messages.unanswered", "messages unanswered", "lower",
                "messages without a complete reply", heading=FAILURES),
    FigureEntry("server.listen_overflows", "listen overflows", "lower",
                "connects that the kernel dropped because a backlog was full", heading=FAILURES),
)
_OTHERS = (
    FigureEntry("theory.servers", "workers", None,
                "workers of the pool", False),
    FigureEntry("theory.arrivals", "arrivals", None,
                "arrivals compared, without the warm-up", False),
    FigureEntry("theory.arrival_rate_per_s", "arrival rate", None,
                "arrivals per second", False),
    FigureEntry("theory.mean_service_ms", "mean service time", None,
                "mean time that a worker spends on one connection", False),
    FigureEntry("theory.utilisation", "utilisation", None,
                "arrival rate times mean service time divided by workers, 0 to 1", False),
    FigureEntry("theory.wait_ms", "measured wait", None,
                "mean of backlog wait plus queue wait over all arrivals", False),
    FigureEntry("theory.wait_low_ms", "measured wait, lower bound", None,
                "lower end of the 95 % interval of the measured wait; null if there are too few arrivals", False),
    FigureEntry("theory.wait_high_ms", "measured wait, upper bound", None,
                "upper end of the 95 % interval of the measured wait; null if there are too few arrivals", False),
    FigureEntry("theory.recursion_wait_ms", "wait by recursion", None,
                "mean wait by the recursion of Kiefer and Wolfowitz with the run's arrival and service times", False),
    FigureEntry("theory.erlang_c_wait_ms", "wait by Erlang C", None,
                "mean wait by Erlang C; null if it does not apply", False),
    FigureEntry("environment.cores", "cores", None,
                "CPU cores of the machine", False),
    FigureEntry("environment.cores_usable", "cores usable", None,
                "CPU cores that the lab may use", False),
    FigureEntry("environment.memory_bytes", "memory", None,
                "memory of the machine", False),
    FigureEntry("environment.switch_interval_s", "switch interval", None,
                "interval after which the interpreter switches threads", False),
    FigureEntry("environment.somaxconn", "somaxconn", None,
                "net.core.somaxconn, the largest backlog", False),
    FigureEntry("environment.tcp_max_syn_backlog", "tcp max syn backlog", None,
                "net.ipv4.tcp_max_syn_backlog", False),
    FigureEntry("series.t_s", "time", None,
                "start of the step, in seconds of the run", False),
    FigureEntry("series.due", "connections due", None,
                "connections due within the step", False),
    FigureEntry("series.started", "connections greeted", None,
                "connections greeted within the step", False),
    FigureEntry("series.completed", "connections completed", None,
                "connections completed within the step", False),
    FigureEntry("series.failed", "connections failed", None,
                "connections that ended within the step with any other outcome", False),
    FigureEntry("series.in_flight", "in flight", None,
                "connections that have begun and are not closed at the start of the step", False),
    FigureEntry("series.in_service", "in service", None,
                "connections in service at the start of the step, by the server's records", False),
    FigureEntry("series.waiting", "waiting", None,
                "connections that are connected and not greeted at the start of the step", False),
    FigureEntry("series.messages_due", "messages due", None,
                "messages due within the step", False),
    FigureEntry("series.messages_sent", "messages sent", None,
                "messages sent within the step", False),
    FigureEntry("series.messages_answered", "messages answered", None,
                "messages whose reply ended within the step", False),
    FigureEntry("series.messages_in_flight", "messages in flight", None,
                "messages due and not answered at the start of the step", False),
    FigureEntry("series.response_p50_ms", "response time, median", "lower",
                "median response time of the messages due within the step", False),
    FigureEntry("series.response_p99_ms", "response time, p99", "lower",
                "99th percentile of the response times of the messages due within the step", False),
    FigureEntry("series.response_max_ms", "response time, max", "lower",
                "longest response time of the messages due within the step", False),
    FigureEntry("series.threads_alive", "threads", None,
                "threads of the server design, sampled", False),
    FigureEntry("series.threads_busy", "busy threads", None,
                "threads of the server design that serve a connection, sampled", False),
    FigureEntry("series.queue_depth", "queue", None,
                "connections in the server's own queue, sampled", False),
    FigureEntry("series.accept_queue", "backlog", None,
                "connections in the kernel's accept queue, sampled", False),
    FigureEntry("series.cpu_percent", "CPU", None,
                "CPU time of the process that serves, in percent of one core, sampled", False),
    FigureEntry("series.rss_bytes", "resident memory", None,
                "resident memory of the process that serves, sampled", False),
    FigureEntry("series.listen_overflows", "listen overflows", "lower",
                "increase of the kernel's count of dropped connects within the step", False),
)
# fmt: on

FIGURES = (*_RUN, *(entry for span in SPANS for entry in span.entries()), *_SERVER, *_FAILURES, *_OTHERS)
_BY_PATH = {entry.path: entry for entry in FIGURES}
_SPAN_BY_NAME = {span.name: span for span in SPANS}


def figure(path: str) -> FigureEntry:
    """Return the entry of a figure; KeyError if there is none."""
    return _BY_PATH[path]


def find_figure(path: str) -> FigureEntry | None:
    """Return the entry of a figure, or None if the path is not one of a figure."""
    return _BY_PATH.get(path)


def explain(path: str) -> str | None:
    """Return the explanation of a figure, of a distribution, or of a statistic as `statistics.p99`."""
    part, _, name = path.partition(".")
    if part == "statistics":
        return STATISTICS[name][1]
    if entry := _BY_PATH.get(path):
        return entry.explanation
    return next((one.explanation for one in SPANS if one.path == path), None)


def span_named(name: str) -> Span:
    """Return a distribution by the last step of its path, such as `backlog_ms`."""
    return _SPAN_BY_NAME[name]


def spans_of(part: str) -> tuple[Span, ...]:
    """Return the distributions of `latency` or `waits`."""
    return tuple(one for one in SPANS if one.path.startswith(f"{part}."))
