"""Connections as the timeline draws them: arrival, waits, service and end, in seconds of the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from coreserver.clock import seconds
from coreserver.records.joined import JoinedConnection


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """The row of one client. Stamps are seconds from the run's start; None means "not (yet) reached".

    `accepted_s` is never before `connected_s`. `finished_s` is when the server ended the connection, or when the client
    closed it if the server's end is not known. A client that left before it was served has no `started_s`, even if the
    server served the closed connection later. `connection` has the original records.
    """

    name: str
    group: str
    due_s: float
    connected_s: float | None = None
    accepted_s: float | None = None
    started_s: float | None = None
    finished_s: float | None = None
    outcome: str | None = None
    worker: str | None = None
    connection: JoinedConnection | None = field(default=None, compare=False, repr=False)


def timeline_rows(connections: Iterable[JoinedConnection], started_ns: int) -> list[TimelineRow]:
    """Return one row per connection in this order, also for connections in progress.

    Args:
        connections: those of an ended run, or those recorded so far.
        started_ns: the start of the run.
    """
    return [_row(connection, started_ns) for connection in connections]


def _row(connection: JoinedConnection, zero_ns: int) -> TimelineRow:
    client, server = connection.client, connection.server
    accepted = server.accepted_ns if server else None
    started = server.started_ns if server else client.greeted_ns  # without the server's record: the greeting
    finished = server.finished_ns if server else None
    worker = server.worker if server else None
    closed = client.closed_ns
    if closed is not None and (started is None or started > closed):
        accepted = accepted if accepted is not None and accepted <= closed else None
        started, finished, worker = None, closed, None
    if accepted is not None and client.connected_ns is not None:
        accepted = max(accepted, client.connected_ns)
    if started is not None and accepted is not None:
        started = max(started, accepted)

    def since(at_ns: int | None) -> float | None:
        return None if at_ns is None else seconds(at_ns - zero_ns)

    return TimelineRow(
        name=client.name,
        group=client.group,
        due_s=seconds(client.due_ns - zero_ns),
        connected_s=since(client.connected_ns),
        accepted_s=since(accepted),
        started_s=since(started),
        finished_s=since(closed if finished is None else finished),
        outcome=client.outcome,
        worker=worker,
        connection=connection,
    )
