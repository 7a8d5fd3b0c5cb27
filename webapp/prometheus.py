"""Metrics of the lab for Prometheus: runs, servers, streams and HTTP requests.

All values are read at the scrape, except HTTP requests, which are counted. Labels are ids, designs, states and route
templates, never text that a user entered, so their number is bounded.
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
from webapp.live.streams import Streams
from webapp.schemas.resources import ServerResource, ServerStats

OTHER = "other"  # no route matched, or the guard refused the request
GAUGES: tuple[tuple[str, str], ...] = (
    ("waiting", "Accepted connections that are not in service yet"),
    ("in_service", "Connections in service"),
    ("threads_alive", "Threads of the design"),
    ("threads_busy", "Threads of the design that serve a connection"),
    ("queue_depth", "Connections in the queue of the design"),
    ("accept_queue", "Connections in the backlog, not accepted yet"),
)


class Metrics:
    """Registry of one lab, and the counter of its requests."""

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

    def count_requests(self, app: ASGIApp) -> ASGIApp:
        """Wrap an application so that its responses are counted."""

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
    """Return the template of the route, such as `/runs/{run_id}`; all static files are one."""
    if scope["path"].startswith("/static/"):
        return "/static"
    return getattr(scope.get("route"), "path", OTHER)


class _LabCollector(Collector):
    """Reads the lab at each scrape."""

    def __init__(self, lab: Lab, streams: Streams, version: str) -> None:
        self._lab, self._streams, self._version = lab, streams, version

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics with their current values."""
        build = {"version": self._version, "python": platform.python_version()}
        yield InfoMetricFamily("serverlab_build", "Version of the lab and of Python", build)
        yield _gauge("serverlab_process_threads", "Threads of the lab's process", threading.active_count())
        yield _gauge("serverlab_event_streams_open", "Open event streams", self._streams.open)
        yield _gauge("serverlab_event_streams_limit", "Maximum number of open event streams", self._streams.limit)
        yield from self._runs()
        servers = self._lab.servers.all()
        yield _of_servers(servers)
        yield from _per_server(servers)

    def _runs(self) -> Iterator[Metric]:
        counts = self._lab.runs.counts()
        runs = GaugeMetricFamily("serverlab_runs", "Stored runs", labels=["state", "verdict"])
        for (state, verdict), count in sorted(counts.items()):
            runs.add_metric([state, verdict or "none"], count)
        yield runs
        unfinished = {name: counts.get((name, ""), 0) for name in ("queued", "running")}
        yield _gauge("serverlab_runs_queued", "Queued runs", unfinished["queued"])
        yield _gauge("serverlab_run_in_progress", "Whether a run is in progress", unfinished["running"])


def _of_servers(servers: list[ServerResource]) -> Metric:
    family = GaugeMetricFamily("serverlab_servers", "Servers of the lab", labels=["model", "state"])
    counts: dict[tuple[str, str], int] = {}
    for server in servers:
        counts[server.model, server.state] = counts.get((server.model, server.state), 0) + 1
    for labels, count in sorted(counts.items()):
        family.add_metric(labels, count)
    return family


def _per_server(servers: list[ServerResource]) -> Iterator[Metric]:
    """Yield the metrics of all servers since their last start. Prometheus handles counters that restart at 0."""
    labels = ["server", "model"]
    known = [([str(server.id), server.model], server.stats) for server in servers if server.stats is not None]
    accepted = CounterMetricFamily("serverlab_server_connections_accepted", "Connections accepted", labels=labels)
    ended = CounterMetricFamily(
        "serverlab_server_connections_ended", "Connections ended, by outcome", labels=[*labels, "outcome"]
    )
    events = CounterMetricFamily("serverlab_server_events", "Other events", labels=[*labels, "event"])
    for values, stats in known:
        accepted.add_metric(values, stats.accepted)
        for outcome, count in stats.outcomes.items():
            ended.add_metric([*values, outcome], count)
        for event, count in stats.events.items():
            events.add_metric([*values, event], count)
    yield from (accepted, ended, events)
    yield _family(
        "connections_active",
        "Accepted connections that have not ended",
        known,
        lambda stats: stats.waiting + stats.in_service,
    )
    for name, meaning in GAUGES:
        yield _family(name, meaning, known, lambda stats, name=name: getattr(stats, name))  # type: ignore[misc]


def _family(
    name: str, meaning: str, known: list[tuple[list[str], ServerStats]], figure: Callable[[ServerStats], Any]
) -> Metric:
    """Return a gauge with one value per server, except designs to which the figure does not apply."""
    family = GaugeMetricFamily(f"serverlab_server_{name}", meaning, labels=["server", "model"])
    for values, stats in known:
        if (value := figure(stats)) is not None:
            family.add_metric(values, value)
    return family


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)
