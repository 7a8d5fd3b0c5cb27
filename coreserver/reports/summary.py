"""A run's report: one document of plain values, from what was recorded.

What could not be measured is None, never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from coreserver.reports.sentence import sentence
from coreserver.reports.series import series
from coreserver.reports.stats import histograms
from coreserver.reports.timing import JoinedConnection, response_ns, round_trip_ns
from coreserver.reports.totals import latency, message_spans, totals, waits
from coreserver.reports.verdict import judge
from coreserver.sampler import Sample

if TYPE_CHECKING:
    from coreserver.run import RunResult

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run was: who asked for what, when, and how it ended. Times are ISO 8601 with a time zone."""

    id: int
    label: str
    note: str
    seed: int
    config: dict[str, Any]  # as asked: server and client groups
    created_at: str
    started_at: str | None
    ended_at: str | None
    state: str
    failure: str | None = None
    failure_detail: str | None = None


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The server a run was made against; `scope` says whose CPU time, memory and switches the samples count."""

    model: str
    config: dict[str, Any]
    id: int | None = None
    name: str | None = None
    placement: str = "thread"
    scope: str = "process"


def build_report(run: RunInfo, result: RunResult, server: ServerInfo, environment: Mapping[str, Any]) -> dict[str, Any]:
    """The whole report, ready for JSON; also of a run that was cancelled or failed halfway.

    Args:
        environment: as `describe_machine` gives it; its somaxconn bounds the server's backlog.
    """
    whole = _figures(result.connections)
    clients = [connection.client for connection in result.connections]
    return {
        "schema_version": SCHEMA_VERSION,
        "run": {**asdict(run), "sentence": sentence(result)},
        "verdict": judge(result, totals=whole["totals"], latency=whole["latency"], placement=server.placement),
        **whole,
        "groups": _groups(run, result.connections),
        "series": series(result),
        "histograms": histograms(message_spans(clients, response_ns), message_spans(clients, round_trip_ns)),
        "server": _server(server, result, environment.get("somaxconn")),
        "environment": dict(environment),
    }


def _figures(connections: Sequence[JoinedConnection]) -> dict[str, Any]:
    return {"totals": totals(connections), "latency": latency(connections), "waits": waits(connections)}


def _groups(run: RunInfo, connections: Sequence[JoinedConnection]) -> list[dict[str, Any]]:
    """The same figures a group, in the order asked for; also of a group whose clients never came into being."""
    kinds = {group["name"]: group.get("kind") for group in run.config.get("clients", []) if "name" in group}
    members: dict[str, list[JoinedConnection]] = {name: [] for name in kinds}
    for connection in connections:
        members.setdefault(connection.client.group, []).append(connection)
    return [{"name": name, "kind": kinds.get(name), **_figures(group)} for name, group in members.items()]


def _server(server: ServerInfo, result: RunResult, somaxconn: int | None) -> dict[str, Any]:
    """What the server was, and how it stood over the run: peaks and differences of the 100 ms samples.

    Differences are taken from the last look before the run; that look is no part of the peaks.
    """
    samples, backlog = result.samples, server.config.get("backlog")
    during = [sample for sample in samples if sample.at_ns >= result.load.started_ns]
    return {
        **asdict(server),
        "backlog_effective": None if backlog is None or somaxconn is None else min(backlog, somaxconn),
        "peak_threads": _peak(during, lambda sample: sample.threads_alive),
        "peak_queue": _peak(during, lambda sample: sample.queue_depth),
        "peak_accept_queue": _peak(during, lambda sample: sample.accept_queue),
        "cpu_s": _grown(samples, lambda sample: sample.cpu_s),
        "peak_rss_bytes": _peak(during, lambda sample: sample.rss_bytes),
        "peak_vms_bytes": _peak(during, lambda sample: sample.vms_bytes),
        "voluntary_switches": _grown(samples, lambda sample: sample.voluntary_switches),
        "involuntary_switches": _grown(samples, lambda sample: sample.involuntary_switches),
        "listen_overflows": result.listen_overflows,
        "listen_overflows_scope": "network namespace",
    }


def _peak(samples: Sequence[Sample], figure: Callable[[Sample], int | None]) -> int | None:
    return max((value for value in map(figure, samples) if value is not None), default=None)


def _grown(samples: Sequence[Sample], figure: Callable[[Sample], float]) -> float | None:
    return figure(samples[-1]) - figure(samples[0]) if len(samples) > 1 else None
