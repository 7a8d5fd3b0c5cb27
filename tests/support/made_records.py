"""Hand-made records. Times are in milliseconds of the run, as in the drawings of the tests' scenarios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from coreserver.records.client import ClientOutcome, ClientRecord, LoadResult, MessageRecord, WorkerUsage
from coreserver.records.joined import JoinedConnection
from coreserver.records.machine_use import MachineUse
from coreserver.records.messages import MessageTable, table_of
from coreserver.records.run_result import FailureCode, RunResult
from coreserver.records.samples import Sample
from coreserver.records.server import UNKNOWN_DESIGN, ConnectionRecord, DesignFacts, ServerOutcome
from coreserver.reports.build import RunInfo, ServerInfo, build_report
from coreserver.reports.environment import describe_machine
from coreserver.reports.measured_window import group_window
from coreserver.reports.schema.report import Environment, Limit, Limits, Report, Server
from coreserver.reports.totals import latency, totals
from coreserver.reports.verdict.evidence import Evidence

ZERO_NS = 5_000_000_000  # the run's start on the clock: not 0, so that a missing subtraction fails a test
CLIENT_ADDRESS = ("127.0.0.1", 40001)


def at(ms: float) -> int:
    """Return the time on the clock, in nanoseconds, of a millisecond of the run."""
    return ZERO_NS + round(ms * 1_000_000)


def maybe_at(ms: float | None) -> int | None:
    return None if ms is None else at(ms)


def client(
    name: str = "conn1",
    *,
    group: str = "script",
    due: float = 0,
    connect: float | None = 0,
    connected: float | None = None,
    greeted: float | None = None,
    closed: float | None = None,
    outcome: ClientOutcome | None = ClientOutcome.COMPLETED,
    local: tuple[str, int] | None = CLIENT_ADDRESS,
    messages: Sequence[tuple[float, float, float | None]] = (),
    warm_up: float = 0,
    detail: str = "",
) -> ClientRecord:
    return ClientRecord(
        name=name,
        group=group,
        due_ns=at(due),
        connect_start_ns=maybe_at(connect),
        connected_ns=maybe_at(connected),
        greeted_ns=maybe_at(greeted),
        closed_ns=maybe_at(closed),
        outcome=outcome,
        detail=detail,
        local=local,
        measured_from_ns=at(warm_up),
        messages=[MessageRecord(at(due), at(sent), maybe_at(replied)) for due, sent, replied in messages],
    )


def server(
    accepted: float,
    started: float | None = None,
    finished: float | None = None,
    *,
    number: int = 1,
    peer: tuple[str, int] = CLIENT_ADDRESS,
    worker: str | None = "worker-1",
) -> ConnectionRecord:
    return ConnectionRecord(
        number=number,
        peer=peer,
        accepted_ns=at(accepted),
        started_ns=maybe_at(started),
        finished_ns=maybe_at(finished),
        worker=worker,
        outcome=None if finished is None else ServerOutcome.COMPLETED,
    )


def served(
    name: str,
    *,
    due: float = 0,
    accepted: float,
    started: float,
    closed: float,
    worker: str = "worker-1",
    group: str = "script",
) -> JoinedConnection:
    """Return a completed connection: connected 1 ms after due, greeted 1 ms after the start of its service."""
    record = client(
        name, group=group, due=due, connect=due, connected=due + 1, greeted=started + 1, closed=closed,
        messages=[(due, started + 1, started + 3)],
    )  # fmt: skip
    return JoinedConnection(record, server(accepted, started, closed + 1, worker=worker))


def sample(
    ms: float,
    *,
    cpu_s: float = 0.0,
    threads: int | None = 2,
    queue: int | None = 0,
    rss: int = 1000,
    overflows: int | None = 7,
) -> Sample:
    return Sample(
        at_ns=at(ms),
        waiting=0,
        in_service=0,
        threads_alive=threads,
        threads_busy=1,
        queue_depth=queue,
        accept_queue=0,
        cpu_s=cpu_s,
        rss_bytes=rss,
        vms_bytes=2 * rss,
        voluntary_switches=round(10 * cpu_s),
        involuntary_switches=round(cpu_s),
        listen_overflows=overflows,
    )


def result(
    connections: Sequence[JoinedConnection] = (),
    *,
    ended: float = 1000,
    cpu_s: float = 0.1,
    complete: bool = True,
    foreign: int = 0,
    records_lost: int = 0,
    samples: Sequence[Sample] = (),
    workers: Sequence[WorkerUsage] = (),
    machine: MachineUse | None = None,
    stopped_by: str | None = None,
    listen_overflows: int | None = 0,
    outcome: Literal["completed", "cancelled", "failed"] = "completed",
    failure: FailureCode | None = None,
    failure_detail: str | None = None,
    design: DesignFacts = UNKNOWN_DESIGN,
) -> RunResult:
    clients = [connection.client for connection in connections]
    return RunResult(
        load=LoadResult(
            ZERO_NS,
            1_505_889_116.632,
            at(ended),
            cpu_s,
            clients,
            complete,
            workers=tuple(workers),
            stopped_by=stopped_by,
        ),
        connections=list(connections),
        foreign=foreign,
        records_lost=records_lost,
        samples=list(samples),
        listen_overflows=listen_overflows,
        outcome=outcome,
        failure=failure,
        failure_detail=failure_detail,
        machine=machine,
        design=design,
    )


def staircase() -> list[JoinedConnection]:
    """Return the article's first picture: one client at a time, 2.2 s each, the others in the backlog."""
    return [
        served("conn1", accepted=2, started=2, closed=2200),
        served("conn2", accepted=2202, started=2202, closed=4400),
        served("conn3", accepted=4402, started=4402, closed=6600),
    ]


def pool_of_two() -> list[JoinedConnection]:
    """Return the article's last picture: two workers, the third client in the server's queue."""
    return [
        served("conn1", accepted=2, started=2, closed=2200, worker="worker-1"),
        served("conn2", accepted=2, started=3, closed=2201, worker="worker-2"),
        served("conn3", accepted=3, started=2203, closed=4400, worker="worker-1"),
    ]


def table(connections: Sequence[JoinedConnection]) -> MessageTable:
    """Return the messages of these connections."""
    return table_of(connection.client for connection in connections)


def worker(*, cpu_s: float = 0.5, elapsed_s: float = 2.0, lag_ms: float = 0.1) -> WorkerUsage:
    """Return the usage of a client process."""
    return WorkerUsage(1234, cpu_s, elapsed_s, lag_ms, lag_ms, lag_ms, connections=1, messages=1)


def use(
    *, elapsed_s: float = 4.0, cores: int = 2, busy_s: float = 1.0, steal_s: float = 0.0, own_s: float = 1.0
) -> MachineUse:
    """Return the use of the machine; by default only the run used it."""
    return MachineUse(elapsed_s, cores, busy_s, steal_s, own_s)


MOMENT = "2026-01-02T03:04:05.678+00:00"
ENVIRONMENT = Environment(
    cpu="a hand-made one",
    cores=2,
    cores_usable=2,
    memory_bytes=8 * 2**30,
    load_average_1min=0.5,
    system="Linux",
    kernel="6.0",
    python="3.11.4",
    python_implementation="CPython",
    python_build="main",
    python_compiler="GCC",
    gil=True,
    switch_interval_s=0.005,
    limits=Limits(open_files=Limit(soft=1024, hard=4096), processes_and_threads=Limit(soft=None, hard=None)),
    somaxconn=4096,
    tcp_max_syn_backlog=4096,
    port_range=[32768, 60999],
    versions={"serverlab": "1.0"},
)


def run_config(groups: Sequence[Mapping[str, Any]] = (), **more: Any) -> dict[str, Any]:
    """Return the settings of a run with these client groups."""
    settings = {"label": "", "note": "", "seed": 0, "server": {}, "clients": list(groups)}
    return settings | {"client_processes": None, "client_cpus": None} | more


def report_of(
    of: RunResult, *, state: Literal["completed", "cancelled", "failed"] = "completed", **server: Any
) -> Report:
    """Return the report of this result."""
    groups = [{"kind": "script", "name": "script", "count": 3}]
    config = run_config(groups, label="three", seed=7, server={"model": "sequential"})
    info = RunInfo(1, "three", "", 7, config, MOMENT, MOMENT, MOMENT, "completed")
    described = ServerInfo(**{"model": "sequential", "config": {"backlog": 64, "placement": "thread"}} | server)
    return build_report(info, of, described, describe_machine())


# The report's server without any samples.
SERVER = Server(
    model="asyncio",
    config={},
    id=None,
    name=None,
    scope="process",
    details={},
    placement="process",
    backlog_effective=None,
    peak_threads=None,
    peak_queue=None,
    peak_accept_queue=None,
    cpu_s=None,
    peak_rss_bytes=None,
    peak_vms_bytes=None,
    voluntary_switches=None,
    involuntary_switches=None,
    listen_overflows=None,
    listen_overflows_scope="network namespace",
)


def evidence(
    of: RunResult, *, groups: Sequence[Mapping[str, Any]] = (), placement: str = "process", **server: Any
) -> Evidence:
    """Return the input of a verdict on this run; `server` has figures of the report's server."""
    messages = table(of.connections)
    load = of.load
    windows = {
        group["name"]: group_window(group, load.records, started_ns=load.started_ns, ended_ns=load.ended_ns)
        for group in groups
    }
    return Evidence(
        result=of,
        table=messages,
        totals=totals(of.connections, messages, None),
        latency=latency(of.connections, messages),
        server=SERVER.model_copy(update={"placement": placement, **server}),
        groups=groups,
        windows=windows,
    )
