"""The report of a run, computed from its records.

What could not be measured is None, never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

from coreserver.records.joined import JoinedConnection
from coreserver.records.messages import MessageTable, table_of
from coreserver.records.run_result import RunResult
from coreserver.records.samples import Sample
from coreserver.reports.hdr_histograms import histograms
from coreserver.reports.headline import write_headline
from coreserver.reports.measured_window import MeasuredWindow, group_window, hull
from coreserver.reports.queueing_theory import theory
from coreserver.reports.schema.definitions import SCHEMA_VERSION
from coreserver.reports.schema.figures import Histograms, Latency, Totals, Waits
from coreserver.reports.schema.report import Environment, Group, Report, Run, RunConfig, Server
from coreserver.reports.schema.verdict_shape import MAX_TEXT
from coreserver.reports.time_series import series
from coreserver.reports.timing import is_measured, response_ns, round_trip_ns
from coreserver.reports.totals import latency, totals, waits
from coreserver.reports.verdict.evidence import NOT_OURS, Evidence
from coreserver.reports.verdict.verdict import judge

_Value = TypeVar("_Value", int, float)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Name, settings, times and end of a run. Times are ISO 8601 in UTC with milliseconds."""

    id: int
    label: str
    note: str
    seed: int
    config: dict[str, Any]  # the body that repeats the run
    created_at: str
    started_at: str | None
    ended_at: str | None
    state: Literal["completed", "cancelled", "failed"]
    failure: str | None = None
    failure_detail: str | None = None


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The server of a run; `scope` names the owner of the CPU time, memory and switches in its samples.

    `details` holds facts that are known after its start, such as the event loop it uses.
    """

    model: str
    config: dict[str, Any]
    id: int | None = None
    name: str | None = None
    scope: str = "process"
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def placement(self) -> str | None:
        """`thread` (in the control plane), `process` (its own) or `not ours` (external)."""
        placement: str | None = self.config.get("placement")
        return placement


@dataclass(frozen=True, slots=True)
class _Figures:
    """The figures of a set of connections."""

    totals: Totals
    latency: Latency
    waits: Waits


def build_report(run: RunInfo, result: RunResult, server: ServerInfo, environment: Environment) -> Report:
    """Return the report of a run, also of one that was cancelled or failed halfway.

    Args:
        environment: its somaxconn bounds the server's backlog.
    """
    groups = {group["name"]: group for group in run.config.get("clients", []) if "name" in group}
    members = _by_group(groups, result.connections)
    windows = {name: _window(groups.get(name, {}), some, result) for name, some in members.items()}
    window = hull(windows.values())
    table = table_of(connection.client for connection in result.connections)
    whole = _figures(result.connections, table, window)
    served_by = _server(server, result, environment.somaxconn)
    evidence = Evidence(result, table, whole.totals, whole.latency, served_by, list(groups.values()), windows)
    return Report(
        schema_version=SCHEMA_VERSION,
        run=_run(run, result, is_seen=server.placement != NOT_OURS),
        verdict=judge(evidence),
        window=window.relative_to(result.load.started_ns) if window else None,
        totals=whole.totals,
        latency=whole.latency,
        waits=whole.waits,
        groups=[
            _group(
                name,
                groups.get(name, {}).get("kind"),
                windows[name],
                whole if len(members) == 1 else _group_figures(some, windows[name]),
                result.load.started_ns,
            )
            for name, some in members.items()
        ],
        theory=theory(
            result.connections,
            list(groups.values()),
            server.config.get("work") or {},
            result.design,
            from_ns=window.from_ns if window else 0,
        ),
        series=series(result, table),
        histograms=_histograms(result, table),
        server=served_by,
        environment=environment,
    )


def _run(run: RunInfo, result: RunResult, *, is_seen: bool) -> Run:
    facts = {name: value for name, value in asdict(run).items() if name not in ("config", "failure_detail")}
    return Run(
        **facts,
        config=RunConfig.model_validate(run.config),
        failure_detail=None if run.failure_detail is None else run.failure_detail[:MAX_TEXT],
        sentence=write_headline(result, is_seen=is_seen),
        schedule_sha256=result.load.schedule_sha256,
    )


def _group(name: str, kind: str | None, window: MeasuredWindow | None, figures: _Figures, started_ns: int) -> Group:
    return Group(
        name=name,
        kind=kind,
        window=window.relative_to(started_ns) if window else None,
        totals=figures.totals,
        latency=figures.latency,
        waits=figures.waits,
    )


def _figures(connections: Sequence[JoinedConnection], table: MessageTable, window: MeasuredWindow | None) -> _Figures:
    return _Figures(totals(connections, table, window), latency(connections, table), waits(connections))


def _by_group(groups: Iterable[str], connections: Sequence[JoinedConnection]) -> dict[str, list[JoinedConnection]]:
    """Return the connections of each group in the order of the settings; a group without clients has an empty list."""
    members: dict[str, list[JoinedConnection]] = {name: [] for name in groups}
    for connection in connections:
        members.setdefault(connection.client.group, []).append(connection)
    return members


def _group_figures(members: Sequence[JoinedConnection], window: MeasuredWindow | None) -> _Figures:
    return _figures(members, table_of(connection.client for connection in members), window)


def _window(group: Mapping[str, Any], members: Sequence[JoinedConnection], result: RunResult) -> MeasuredWindow | None:
    clients = [connection.client for connection in members]
    return group_window(group, clients, started_ns=result.load.started_ns, ended_ns=result.load.ended_ns)


def _histograms(result: RunResult, table: MessageTable) -> Histograms:
    load = result.load
    return histograms(
        response_ns(table),
        round_trip_ns(table),
        due_ns=table.due_ns[is_measured(table)] - load.started_ns,
        duration_ns=load.ended_ns - load.started_ns,
    )


def _server(server: ServerInfo, result: RunResult, somaxconn: int | None) -> Server:
    """Return the server with the peaks and differences of its 100 ms samples.

    Differences start at the last sample before the run; that sample does not count for the peaks.
    """
    samples, backlog, design = result.samples, server.config.get("backlog"), result.design
    during = [sample for sample in samples if sample.at_ns >= result.load.started_ns]
    return Server(
        model=server.model,
        config=server.config,
        id=server.id,
        name=server.name,
        scope=server.scope,
        details=dict(server.details),
        placement=server.placement,
        discipline=design.discipline.value if design.discipline else None,
        worker_names=None if design.worker_names is None else list(design.worker_names),
        backlog_effective=None if backlog is None or somaxconn is None else min(backlog, somaxconn),
        peak_threads=_peak(during, lambda sample: sample.threads_alive),
        peak_queue=_peak(during, lambda sample: sample.queue_depth),
        peak_accept_queue=_peak(during, lambda sample: sample.accept_queue),
        cpu_s=_increase(samples, lambda sample: sample.cpu_s),
        peak_rss_bytes=_peak(during, lambda sample: sample.rss_bytes),
        peak_vms_bytes=_peak(during, lambda sample: sample.vms_bytes),
        voluntary_switches=_increase(samples, lambda sample: sample.voluntary_switches),
        involuntary_switches=_increase(samples, lambda sample: sample.involuntary_switches),
        listen_overflows=result.listen_overflows,
        listen_overflows_scope="network namespace",
    )


def _peak(samples: Sequence[Sample], figure: Callable[[Sample], int | None]) -> int | None:
    return max((value for value in map(figure, samples) if value is not None), default=None)


def _increase(samples: Sequence[Sample], figure: Callable[[Sample], _Value]) -> _Value | None:
    return figure(samples[-1]) - figure(samples[0]) if len(samples) > 1 else None
