"""A connection as the timeline draws it: when it arrived, waited, was served and ended, in seconds of the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from coreserver.clock import seconds
from coreserver.records.joined import JoinedConnection


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One client's row. Stamps are seconds from the run's start; None is "not (yet) reached".

    `accepted_s` is never before `connected_s`; `finished_s` is when the server ended the connection, or when the
    client closed it where the server's end is not known. A client that left before it was served has no `started_s`,
    even if the server took up its dead connection later. `connection` has the stamps themselves, of which these are
    made for the eye.
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
    """A row for each connection, in the order given; also for connections still under way.

    Args:
        connections: of a finished run, or what is known so far of a running one.
        started_ns: the run's zero.
    """
    return [_row(connection, started_ns) for connection in connections]


def _row(connection: JoinedConnection, zero_ns: int) -> TimelineRow:
    client, server = connection.client, connection.server
    accepted = server.accepted_ns if server else None
    started = server.started_ns if server else client.greeted_ns  # without the server's word: as the client saw it
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
