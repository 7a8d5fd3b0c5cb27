"""Execute one run: send a load, and join the records of both sides of every connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from coreserver.clients.load import LoadProcesses, LoadProcessesDied, Progress
from coreserver.clock import now_ns
from coreserver.config.load import LoadConfig
from coreserver.errors import CannotStart
from coreserver.hosting.host import ServerHost
from coreserver.models import facts_of
from coreserver.models.shared.base import State
from coreserver.records.client import ClientOutcome, ClientRecord, LoadResult
from coreserver.records.joined import join
from coreserver.records.run_result import FailureCode, RunResult
from coreserver.records.server import UNKNOWN_DESIGN
from coreserver.runs.server_side import ServerSide, UnknownSide
from coreserver.telemetry.machine import MachineWatch, listen_overflows


class _Failure(NamedTuple):
    code: FailureCode
    detail: str


def execute(
    host: ServerHost | None,
    load: LoadConfig,
    *,
    result_path: Path,
    cancel: threading.Event,
    on_progress: Callable[[Progress], object],
    address: tuple[str, int] | None = None,
) -> RunResult:
    """Send `load` to a server and join the records of both sides; blocks until the run is over.

    A run that fails does not raise; its result has the failure.

    Args:
        host: the server; None for an external server at `address`, whose side of every connection stays unknown.
        result_path: where client processes write their results, each with its number appended; removed at the end.
        cancel: when set, the traffic ends within a second; everything recorded by then is kept.
        on_progress: called in this thread.
    """
    overflows_before = listen_overflows()
    side = ServerSide(host) if host else UnknownSide(address)

    def drain_and_report(progress: Progress) -> None:
        side.take()
        on_progress(progress)

    watch = MachineWatch()
    with side:
        result, failure = _send_clients(side.address, load, result_path, cancel, drain_and_report)
        machine = watch.so_far()
        side.await_ends(result.records)
    connections = join(result.records, [record for record in side.records if record.accepted_ns >= result.started_ns])
    failure = failure or _server_failure(side) or _connect_failure(result.records)
    return RunResult(
        load=result,
        connections=connections,
        foreign=len(side.records) - sum(connection.server is not None for connection in connections),
        records_lost=side.lost,
        samples=side.samples(result.started_ns, now_ns()),
        listen_overflows=_delta(overflows_before, listen_overflows()),
        outcome="failed" if failure else "completed" if result.complete else "cancelled",
        failure=failure.code if failure else None,
        failure_detail=failure.detail if failure else None,
        machine=machine,
        design=facts_of(host.config) if host else UNKNOWN_DESIGN,
    )


def _send_clients(
    address: tuple[str, int] | None,
    load: LoadConfig,
    result_path: Path,
    cancel: threading.Event,
    on_progress: Callable[[Progress], object],
) -> tuple[LoadResult, _Failure | None]:
    if address is None:
        return _empty_load(), _Failure("could_not_connect", "the server is not listening")
    try:
        with LoadProcesses(address, load, result_path=result_path) as clients:
            return clients.measure(cancel, on_progress), None
    except CannotStart as error:
        return _empty_load(), _Failure("cannot_start", str(error))
    except LoadProcessesDied as error:
        return error.partial, _Failure("worker_died", str(error))


def _empty_load() -> LoadResult:
    """Return the load of a run whose clients did not start."""
    return LoadResult(now_ns(), time.time(), now_ns(), 0.0, [], complete=False)


def _server_failure(side: ServerSide | UnknownSide) -> _Failure | None:
    if side.state is State.FAILED:
        return _Failure("server_failed", side.failure or "the server failed")
    if side.state not in (State.LISTENING, None):
        return _Failure("server_stopped", f"the server was {side.state} before the run had ended")
    return None


def _connect_failure(clients: Sequence[ClientRecord]) -> _Failure | None:
    """Return a failure if no client could connect because nothing listens at the address.

    A client that is connected to itself proves the same: the kernel would not have chosen the port of a listener.
    """
    refused = [client for client in clients if client.outcome is ClientOutcome.REFUSED and client.connected_ns is None]
    joined = sum(client.outcome is ClientOutcome.SELF_CONNECT for client in clients)
    if not clients or len(refused) + joined < len(clients):
        return None
    if not joined:
        return _Failure("could_not_connect", f"every connection was refused, the first with {refused[0].detail}")
    detail = (
        f"nothing listens: {len(refused):,} of {len(clients):,} connections were refused, the others connected to "
        "themselves"
    )
    return _Failure("could_not_connect", detail)


def _delta(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before
