"""One run, from a load to what happened on both sides of every connection."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from coreserver.clients.process import LoadProcesses, LoadProcessesDied, Progress
from coreserver.clients.records import ClientOutcome, ClientRecord, LoadResult
from coreserver.clock import NS_PER_S, now_ns
from coreserver.config import LoadConfig
from coreserver.errors import CannotStart
from coreserver.models.base import State
from coreserver.reports.timing import JoinedConnection, join
from coreserver.sampler import INTERVAL_S, Sample
from coreserver.telemetry import ConnectionRecord, Subscription

if TYPE_CHECKING:
    from coreserver.host import ServerHost

ENDS_DEADLINE_S = 2.0  # for the server to see the end of connections whose clients have gone
_LOOK_EVERY_S = 0.01

FailureCode = Literal["cannot_start", "could_not_connect", "worker_died", "server_failed", "server_stopped"]


@dataclass(frozen=True)
class RunResult:
    """Everything a run has found out.

    `connections` has one entry a client: groups as given, clients as numbered. `foreign` counts server records of the
    run's time that no client of ours owns, `records_lost` those that could not be kept. `samples` begin one before the
    run's start. `listen_overflows` is the kernel's count of connections its accept queues dropped during the run, of
    the whole network namespace; None where it cannot be read.
    """

    load: LoadResult
    connections: list[JoinedConnection]
    foreign: int
    records_lost: int
    samples: list[Sample]
    listen_overflows: int | None
    outcome: Literal["completed", "cancelled", "failed"]
    failure: FailureCode | None = None
    failure_detail: str | None = None


class _Failure(NamedTuple):
    code: FailureCode
    detail: str


def execute(
    host: ServerHost,
    load: LoadConfig,
    *,
    result_path: Path,
    cancel: threading.Event,
    on_progress: Callable[[Progress], object],
) -> RunResult:
    """Send `load` at `host`'s server and join both sides of what came of it; blocks until all is over.

    Setting `cancel` ends the traffic within a second and keeps what was gathered. `on_progress` is called in this
    thread. `result_path` is where the client process leaves its result. A run that fails says so in its result.
    """
    overflows_before = _listen_overflows()
    subscription = host.subscribe()
    servers: list[ConnectionRecord] = []

    def drain_and_report(progress: Progress) -> None:
        servers.extend(subscription.take())
        on_progress(progress)

    try:
        result, failure = _send_clients(host, load, result_path, cancel, drain_and_report)
        servers += _await_ends(host, subscription, servers, result.records)
    finally:
        host.unsubscribe(subscription)
    connections = join(result.records, [record for record in servers if record.accepted_ns >= result.started_ns])
    failure = failure or _server_failure(host) or _connect_failure(result.records)
    ended_ns = now_ns()
    samples_from_ns = result.started_ns - round(INTERVAL_S * NS_PER_S)
    return RunResult(
        load=result,
        connections=connections,
        foreign=len(servers) - sum(connection.server is not None for connection in connections),
        records_lost=subscription.lost,
        samples=[sample for sample in host.samples(samples_from_ns) if sample.at_ns <= ended_ns],
        listen_overflows=_delta(overflows_before, _listen_overflows()),
        outcome="failed" if failure else "completed" if result.complete else "cancelled",
        failure=failure.code if failure else None,
        failure_detail=failure.detail if failure else None,
    )


def _send_clients(
    host: ServerHost,
    load: LoadConfig,
    result_path: Path,
    cancel: threading.Event,
    on_progress: Callable[[Progress], object],
) -> tuple[LoadResult, _Failure | None]:
    address = host.address
    if address is None:
        return _nothing(), _Failure("could_not_connect", "the server is not listening")
    try:
        with LoadProcesses(address, load, result_path=result_path) as clients:
            return clients.measure(cancel, on_progress), None
    except CannotStart as error:
        return _nothing(), _Failure("cannot_start", str(error))
    except LoadProcessesDied as error:
        return error.partial, _Failure("worker_died", str(error))


def _nothing() -> LoadResult:
    """The load of a run whose clients never began."""
    return LoadResult(now_ns(), time.time(), now_ns(), 0.0, [], complete=False)


def _await_ends(
    host: ServerHost,
    subscription: Subscription,
    ended: Sequence[ConnectionRecord],
    clients: Sequence[ClientRecord],
) -> list[ConnectionRecord]:
    """The server's records beyond those `ended`, once it has seen the end of every connection that `clients` made.

    At the deadline, those still open are among them, unfinished. The kernel may hold connections that the server has
    not accepted yet, so we wait for as many ends as there were connects.
    """
    missing = Counter(client.local for client in clients if client.connected_ns is not None)
    missing.subtract(record.peer for record in ended if record.peer in missing)
    more: list[ConnectionRecord] = []
    deadline = time.monotonic() + ENDS_DEADLINE_S
    while any(count > 0 for count in missing.values()) and time.monotonic() < deadline:
        taken = subscription.take()
        missing.subtract(record.peer for record in taken if record.peer in missing)
        more += taken
        time.sleep(_LOOK_EVERY_S)
    still_open = [record for record in host.open_connections() if missing[record.peer] > 0]
    return more + subscription.take() + still_open


def _server_failure(host: ServerHost) -> _Failure | None:
    if host.state is State.FAILED:
        return _Failure("server_failed", host.failure or "the server failed")
    if host.state is not State.LISTENING:
        return _Failure("server_stopped", f"the server was {host.state} before the run had ended")
    return None


def _connect_failure(clients: Sequence[ClientRecord]) -> _Failure | None:
    """No client ever got a connection, and all for the same reason: nobody listens."""
    refused = [client for client in clients if client.outcome is ClientOutcome.REFUSED and client.connected_ns is None]
    if not clients or len(refused) < len(clients):
        return None
    return _Failure("could_not_connect", f"every connect was refused, the first with {refused[0].detail}")


def _listen_overflows() -> int | None:
    """TcpExt ListenOverflows of this network namespace since boot; None where the kernel does not say."""
    try:
        with open("/proc/net/netstat", encoding="ascii") as netstat:
            names, values = (line.split() for line in netstat if line.startswith("TcpExt:"))
        return int(values[names.index("ListenOverflows")])
    except (OSError, ValueError):
        return None


def _delta(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before
