"""The headline of a run: one sentence that summarises its figures."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from coreserver.clock import seconds
from coreserver.records.client import ClientOutcome
from coreserver.records.joined import JoinedConnection
from coreserver.records.run_result import RunResult
from coreserver.reports.time_series import ended_at
from coreserver.reports.timing import parts
from coreserver.reports.totals import peak_in_service

MIN_WAIT_S = 0.05  # shorter waits are not visible in the timeline either

IN_BACKLOG = "in the backlog"
FOR_WORKER = "for a worker"
FOR_GREETING = "for the greeting"

# How clients that did not complete ended: of one client, of several.
FAILURES: dict[ClientOutcome | None, tuple[str, str]] = {
    ClientOutcome.CORRUPTED: ("got a wrong reply", "got wrong replies"),
    ClientOutcome.REFUSED: ("was refused", "were refused"),
    ClientOutcome.RESET: ("was disconnected by the server", "were disconnected by the server"),
    ClientOutcome.TIMED_OUT: ("timed out", "timed out"),
    ClientOutcome.NOT_STARTED: ("never started", "never started"),
    ClientOutcome.SELF_CONNECT: ("connected to itself", "connected to themselves"),
    ClientOutcome.CANCELLED: ("was cancelled", "were cancelled"),
    None: ("has no recorded end", "have no recorded end"),
}

RUN_FAILURES = {
    "cannot_start": "the clients could not be started",
    "could_not_connect": "no client could connect to the server",
    "worker_died": "the client process died after {after}",
    "server_failed": "the server failed during the run",
    "server_stopped": "the server was stopped during the run",
}


def write_headline(result: RunResult, *, is_seen: bool = True) -> str:
    """Return how the run ended, how many clients were served at once, which one waited longest, and what failed.

    Args:
        is_seen: whether the server has records, so that backlog wait and queue wait are known.
    """
    clauses = [*_ending(result), _service(result), *_longest_wait(result, is_seen), *_failures(result)]
    text = "; ".join(clauses)
    return f"{text[0].upper()}{text[1:]}."


def _ending(result: RunResult) -> list[str]:
    lasted_ns = result.load.ended_ns - result.load.started_ns
    if result.outcome == "cancelled" and lasted_ns <= 0:
        return ["the run was cancelled before its first client was due"]
    after = format_seconds(max(seconds(lasted_ns), 0.0))
    if result.outcome == "cancelled":
        return [f"the run was cancelled after {after}"]
    if result.outcome == "failed":
        clause = RUN_FAILURES.get(result.failure or "", "the run failed after {after}")
        return [clause.format(after=after)]
    return []


def _service(result: RunResult) -> str:
    total = len(result.connections)
    served = sum(c.client.greeted_ns is not None for c in result.connections)
    peak = peak_in_service(c.server for c in result.connections if c.server is not None)
    if total == 0:
        return "no client was due"
    if served == 0:
        return "no client was served"
    if total == 1:
        return "the one client was served"
    if served == 1 or not peak:
        return f"{served:,} of {total:,} clients {'was' if served == 1 else 'were'} served"
    if peak == total:
        return f"{'both' if total == 2 else f'all {total:,}'} clients were served at once"
    if peak == 1:
        return "one client was served at a time"
    return f"{peak:,} of {total:,} clients were served at once"


class _Wait(NamedTuple):
    waited_s: float
    place: str
    served: bool


def _longest_wait(result: RunResult, is_seen: bool) -> list[str]:
    """Name the client that waited longest for its service, and where; nothing if no wait is long enough."""
    waits = [(_wait(connection, result.load.ended_ns, is_seen), connection.client) for connection in result.connections]
    wait, client = max(waits, key=lambda pair: pair[0].waited_s, default=(_Wait(0.0, "", True), None))
    if client is None or wait.waited_s < MIN_WAIT_S:
        return []
    several_groups = len({c.client.group for c in result.connections}) > 1
    has_group = client.name.startswith(client.group)  # generated names begin with the name of the group
    name = f"{client.name} of {client.group}" if several_groups and not has_group else client.name
    ending = "" if wait.served else " and was never served"
    return [f"{name} waited {format_seconds(wait.waited_s)} {wait.place}{ending}"]


def _wait(connection: JoinedConnection, run_ended_ns: int, is_seen: bool) -> _Wait:
    """Return how long a connection waited between connect and service, and where it spent most of that time."""
    split, client = parts(connection), connection.client
    if client.connected_ns is None:
        return _Wait(0.0, "", False)
    if not is_seen:
        until = client.greeted_ns or ended_at(client) or run_ended_ns
        return _Wait(seconds(until - client.connected_ns), FOR_GREETING, client.greeted_ns is not None)
    if client.greeted_ns is None:
        left = ended_at(client) or run_ended_ns
        return _Wait(seconds(left - client.connected_ns), IN_BACKLOG if split.backlog is None else FOR_WORKER, False)
    backlog, queue = split.backlog or 0, split.queue or 0
    return _Wait(seconds(backlog + queue), IN_BACKLOG if backlog > queue else FOR_WORKER, True)


def _failures(result: RunResult) -> list[str]:
    total = len(result.connections)
    outcomes = Counter(connection.client.outcome for connection in result.connections)
    of_all = f"of {total:,} {'client' if total == 1 else 'clients'}"
    return [
        f"{outcomes[outcome]:,} {of_all} {of_one if outcomes[outcome] == 1 else of_many}"
        for outcome, (of_one, of_many) in FAILURES.items()
        if outcomes[outcome]
    ]


def format_seconds(span_s: float) -> str:
    """Return a duration with its unit: 45 ms, 2.2 s, 12 s."""
    if span_s < 0.9995:
        return f"{span_s * 1000:.0f} ms"
    return f"{span_s:.1f} s" if span_s < 9.95 else f"{span_s:.0f} s"
