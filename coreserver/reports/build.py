"""A run's report: one document of plain values, from what was recorded.

What could not be measured is None, never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from coreserver.records.joined import JoinedConnection
from coreserver.records.messages import MessageTable, table_of
from coreserver.records.samples import Sample
from coreserver.reports.hdr_histograms import histograms
from coreserver.reports.headline import sentence
from coreserver.reports.measured_window import Window, group_window, hull
from coreserver.reports.queueing_theory import theory
from coreserver.reports.time_series import series
from coreserver.reports.timing import measured, response_ns, round_trip_ns
from coreserver.reports.totals import latency, totals, waits
from coreserver.reports.verdict.evidence import NOT_OURS, Evidence
from coreserver.reports.verdict.verdict import judge

if TYPE_CHECKING:
    from coreserver.records.run_result import RunResult

SCHEMA_VERSION = 2  # raised with every change of shape; see coreserver/reports/upgrades.py


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
    """The server a run was made against; `scope` says whose CPU time, memory and switches the samples count.

    `details` is what the server settled when it started, such as the event loop it really uses.
    """

    model: str
    config: dict[str, Any]
    id: int | None = None
    name: str | None = None
    scope: str = "process"
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def placement(self) -> str | None:
        """In threads of the control plane, in a process of its own, or `not ours`."""
        placement: str | None = self.config.get("placement")
        return placement


def build_report(run: RunInfo, result: RunResult, server: ServerInfo, environment: Mapping[str, Any]) -> dict[str, Any]:
    """The whole report, ready for JSON; also of a run that was cancelled or failed halfway.

    Args:
        environment: as `describe_machine` gives it; its somaxconn bounds the server's backlog.
    """
    groups = {group["name"]: group for group in run.config.get("clients", []) if "name" in group}
    parts = _by_group(groups, result.connections)
    windows = {name: _window(groups.get(name, {}), members, result) for name, members in parts.items()}
    window = hull(windows.values())
    table = table_of(connection.client for connection in result.connections)
    whole = _figures(result.connections, table, window)
    served_by = _server(server, result, environment.get("somaxconn"))
    return {
        "schema_version": SCHEMA_VERSION,
        "run": {
            **asdict(run),
            "sentence": sentence(result, is_seen=server.placement != NOT_OURS),
            "schedule_sha256": result.load.schedule_sha256,
        },
        "verdict": judge(
            Evidence(result, table, whole["totals"], whole["latency"], served_by, list(groups.values()), windows)
        ),
        "window": window.shown(result.load.started_ns) if window else None,
        **whole,
        "groups": [
            {
                "name": name,
                "kind": groups.get(name, {}).get("kind"),
                "window": shown.shown(result.load.started_ns) if (shown := windows[name]) else None,
                **(whole if len(parts) == 1 else _group_figures(members, shown)),
            }
            for name, members in parts.items()
        ],
        "theory": theory(
            result.connections,
            list(groups.values()),
            server.config.get("work") or {},
            result.design,
            from_ns=window.from_ns if window else 0,
        ),
        "series": series(result, table),
        "histograms": _histograms(result, table),
        "server": served_by,
        "environment": dict(environment),
    }


def _figures(connections: Sequence[JoinedConnection], table: MessageTable, window: Window | None) -> dict[str, Any]:
    return {
        "totals": totals(connections, table, window),
        "latency": latency(connections, table),
        "waits": waits(connections),
    }


def _by_group(groups: Iterable[str], connections: Sequence[JoinedConnection]) -> dict[str, list[JoinedConnection]]:
    """The connections of each group, in the order asked for; also of a group whose clients never came into being."""
    members: dict[str, list[JoinedConnection]] = {name: [] for name in groups}
    for connection in connections:
        members.setdefault(connection.client.group, []).append(connection)
    return members


def _group_figures(members: Sequence[JoinedConnection], window: Window | None) -> dict[str, Any]:
    """The same figures as the whole run's."""
    return _figures(members, table_of(connection.client for connection in members), window)


def _window(group: Mapping[str, Any], members: Sequence[JoinedConnection], result: RunResult) -> Window | None:
    clients = [connection.client for connection in members]
    return group_window(group, clients, started_ns=result.load.started_ns, ended_ns=result.load.ended_ns)


def _histograms(result: RunResult, table: MessageTable) -> dict[str, Any]:
    load = result.load
    return histograms(
        response_ns(table),
        round_trip_ns(table),
        due_ns=table.due_ns[measured(table)] - load.started_ns,
        duration_ns=load.ended_ns - load.started_ns,
    )


def _server(server: ServerInfo, result: RunResult, somaxconn: int | None) -> dict[str, Any]:
    """What the server was, and how it stood over the run: peaks and differences of the 100 ms samples.

    Differences are taken from the last look before the run; that look is no part of the peaks.
    """
    samples, backlog, design = result.samples, server.config.get("backlog"), result.design
    during = [sample for sample in samples if sample.at_ns >= result.load.started_ns]
    return {
        **asdict(server),
        "placement": server.placement,
        "discipline": design.discipline.value if design.discipline else None,
        "worker_names": None if design.worker_names is None else list(design.worker_names),
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
