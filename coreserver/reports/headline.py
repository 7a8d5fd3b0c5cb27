"""One sentence that says what happened in a run, made from its figures."""

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

WORTH_SAYING_S = 0.05  # a shorter wait is not seen in the picture either

IN_KERNEL = "in the kernel's accept queue"
FOR_WORKER = "for a worker"
FOR_GREETING = "for the greeting"

# What became of clients that did not complete: said of one, said of several.
FAILURES: dict[ClientOutcome | None, tuple[str, str]] = {
    ClientOutcome.CORRUPTED: ("got a wrong reply", "got wrong replies"),
    ClientOutcome.REFUSED: ("was refused", "were refused"),
    ClientOutcome.RESET: ("was cut off by the server", "were cut off by the server"),
    ClientOutcome.TIMED_OUT: ("timed out", "timed out"),
    ClientOutcome.NOT_STARTED: ("never began", "never began"),
    ClientOutcome.SELF_CONNECT: ("connected to itself", "connected to themselves"),
    ClientOutcome.CANCELLED: ("was cut short", "were cut short"),
    None: ("has no known end", "have no known end"),
}

RUN_FAILURES = {
    "cannot_start": "the clients could not be started",
    "could_not_connect": "no client could connect to the server",
    "worker_died": "the client process died after {after}",
    "server_failed": "the server failed during the run",
    "server_stopped": "the server was stopped during the run",
}


def sentence(result: RunResult, *, is_seen: bool = True) -> str:
    """What happened, for a person: how the run ended, how many were served at once, who waited, what failed.

    Args:
        is_seen: whether the server is one of the lab, which knows where in it clients wait.
    """
    clauses = [*_how_it_ended(result), _service(result), *_longest_wait(result, is_seen), *_failures(result)]
    text = "; ".join(clauses)
    return f"{text[0].upper()}{text[1:]}."


def _how_it_ended(result: RunResult) -> list[str]:
    lasted_ns = result.load.ended_ns - result.load.started_ns
    if result.outcome == "cancelled" and lasted_ns <= 0:
        return ["the run was cancelled before its first client was due"]
    after = say_seconds(max(seconds(lasted_ns), 0.0))
    if result.outcome == "cancelled":
        return [f"the run was cancelled after {after}"]
    if result.outcome == "failed":
        said = RUN_FAILURES.get(result.failure or "", "the run failed after {after}")
        return [said.format(after=after)]
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
    """Who waited longest for its service and where; nothing when nobody waited long enough to be seen."""
    waits = [(_wait(connection, result.load.ended_ns, is_seen), connection.client) for connection in result.connections]
    wait, client = max(waits, key=lambda pair: pair[0].waited_s, default=(_Wait(0.0, "", True), None))
    if client is None or wait.waited_s < WORTH_SAYING_S:
        return []
    several_groups = len({c.client.group for c in result.connections}) > 1
    is_told = client.name.startswith(client.group)  # the lab's own names begin with their group's
    name = f"{client.name} of {client.group}" if several_groups and not is_told else client.name
    ending = "" if wait.served else " and was never served"
    return [f"{name} waited {say_seconds(wait.waited_s)} {wait.place}{ending}"]


def _wait(connection: JoinedConnection, run_ended_ns: int, is_seen: bool) -> _Wait:
    """How long a connection waited between its connect and its service, and where it spent most of that."""
    split, client = parts(connection), connection.client
    if client.connected_ns is None:
        return _Wait(0.0, "", False)
    if not is_seen:
        until = client.greeted_ns or ended_at(client) or run_ended_ns
        return _Wait(seconds(until - client.connected_ns), FOR_GREETING, client.greeted_ns is not None)
    if client.greeted_ns is None:
        left = ended_at(client) or run_ended_ns
        return _Wait(seconds(left - client.connected_ns), IN_KERNEL if split.backlog is None else FOR_WORKER, False)
    backlog, queue = split.backlog or 0, split.queue or 0
    return _Wait(seconds(backlog + queue), IN_KERNEL if backlog > queue else FOR_WORKER, True)


def _failures(result: RunResult) -> list[str]:
    total = len(result.connections)
    outcomes = Counter(connection.client.outcome for connection in result.connections)
    of_all = f"of {total:,} {'client' if total == 1 else 'clients'}"
    return [
        f"{outcomes[outcome]:,} {of_all} {of_one if outcomes[outcome] == 1 else of_many}"
        for outcome, (of_one, of_many) in FAILURES.items()
        if outcomes[outcome]
    ]


def say_seconds(span_s: float) -> str:
    """A span for reading: 45 ms, 2.2 s, 12 s."""
    if span_s < 0.9995:
        return f"{span_s * 1000:.0f} ms"
    return f"{span_s:.1f} s" if span_s < 9.95 else f"{span_s:.0f} s"
