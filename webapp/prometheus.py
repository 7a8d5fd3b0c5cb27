"""The lab's own figures for Prometheus: what it holds, how its servers fare, how its HTTP side is used.

Everything is read at the scrape, from what is known anyway; only HTTP requests are counted as they come. No label holds
a text that a person chose: labels are ids, designs, states and addresses of routes, so their number is bounded.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp.lab.lab import Lab
from webapp.live.events import Streams
from webapp.schemas.resources import ServerResource, ServerStats

OTHER = "other"  # an address without a route, and what was refused before any
GAUGES: tuple[tuple[str, str], ...] = (
    ("waiting", "Accepted connections that nobody serves yet"),
    ("in_service", "Connections being served"),
    ("threads_alive", "Threads of the design's own"),
    ("threads_busy", "Those of them that serve somebody"),
    ("queue_depth", "Connections in the design's own queue"),
    ("accept_queue", "Connections in the kernel's queue that nobody accepted yet"),
)


class Metrics:
    """The registry of one lab, and the count of its requests."""

    def __init__(self, lab: Lab, streams: Streams, version: str) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.requests = Counter(
            "serverlab_http_requests",
            "HTTP requests answered, by route and class of status",
            ["route", "status"],
            registry=self.registry,
        )
        self.registry.register(_LabCollector(lab, streams, version))
        ProcessCollector(registry=self.registry)

    def counted(self, app: ASGIApp) -> ASGIApp:
        """The same application, its answers counted."""

        async def count(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return

            async def send_and_count(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self.requests.labels(_route(scope), f"{message['status'] // 100}xx").inc()
                await send(message)

            await app(scope, receive, send_and_count)

        return count


def _route(scope: Scope) -> str:
    """The template of the address, such as `/runs/{run_id}`; files of the installation go together."""
    if scope["path"].startswith("/static/"):
        return "/static"
    return getattr(scope.get("route"), "path", OTHER)


class _LabCollector(Collector):
    """Reads the lab at each scrape; two at a time would ask the database twice for the same."""

    def __init__(self, lab: Lab, streams: Streams, version: str) -> None:
        self._lab, self._streams, self._version = lab, streams, version

    def collect(self) -> Iterator[Metric]:
        """Every figure, now."""
        build = {"version": self._version, "python": platform.python_version()}
        yield InfoMetricFamily("serverlab_build", "What runs here", build)
        yield _gauge("serverlab_process_threads", "Threads of the lab's process", threading.active_count())
        yield _gauge("serverlab_event_streams_open", "Live pages that are open", self._streams.open)
        yield _gauge("serverlab_event_streams_limit", "Live pages that may be open", self._streams.limit)
        yield from self._runs()
        servers = self._lab.servers.all()
        yield _of_servers(servers)
        yield from _per_server(servers)

    def _runs(self) -> Iterator[Metric]:
        counts = self._lab.runs.counts()
        runs = GaugeMetricFamily("serverlab_runs", "Runs that are kept", labels=["state", "verdict"])
        for (state, verdict), count in sorted(counts.items()):
            runs.add_metric([state, verdict or "none"], count)
        yield runs
        standing = {name: counts.get((name, ""), 0) for name in ("queued", "running")}
        yield _gauge("serverlab_runs_queued", "Runs that wait for their turn", standing["queued"])
        yield _gauge("serverlab_run_in_progress", "Whether a run is being carried out", standing["running"])


def _of_servers(servers: list[ServerResource]) -> Metric:
    family = GaugeMetricFamily("serverlab_servers", "Servers that are listed", labels=["model", "state"])
    counts: dict[tuple[str, str], int] = {}
    for server in servers:
        counts[server.model, server.state] = counts.get((server.model, server.state), 0) + 1
    for labels, count in sorted(counts.items()):
        family.add_metric(labels, count)
    return family


def _per_server(servers: list[ServerResource]) -> Iterator[Metric]:
    """Figures since each server's last start; a counter that begins anew is one that Prometheus knows to read."""
    labels = ["server", "model"]
    known = [([str(server.id), server.model], server.stats) for server in servers if server.stats is not None]
    accepted = CounterMetricFamily("serverlab_server_connections_accepted", "Connections accepted", labels=labels)
    ended = CounterMetricFamily(
        "serverlab_server_connections_ended", "Connections ended, by how", labels=[*labels, "outcome"]
    )
    events = CounterMetricFamily("serverlab_server_events", "What else happened", labels=[*labels, "event"])
    for values, stats in known:
        accepted.add_metric(values, stats.accepted)
        for outcome, count in stats.outcomes.items():
            ended.add_metric([*values, outcome], count)
        for event, count in stats.events.items():
            events.add_metric([*values, event], count)
    yield from (accepted, ended, events)
    yield _family("connections_active", "Accepted and not ended", known, lambda stats: stats.waiting + stats.in_service)
    for name, meaning in GAUGES:
        yield _family(name, meaning, known, lambda stats, name=name: getattr(stats, name))  # type: ignore[misc]


def _family(
    name: str, meaning: str, known: list[tuple[list[str], ServerStats]], figure: Callable[[ServerStats], Any]
) -> Metric:
    """A gauge of every server whose design has such a notion."""
    family = GaugeMetricFamily(f"serverlab_server_{name}", meaning, labels=["server", "model"])
    for values, stats in known:
        if (value := figure(stats)) is not None:
            family.add_metric(values, value)
    return family


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)
