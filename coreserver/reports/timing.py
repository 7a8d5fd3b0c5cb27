"""The parts of a connection's time, from the records of both sides.

    due ──lateness──▶ connect_start ──connect──▶ connected ──backlog──▶ accepted ──queue──▶ started
        ──greeting──▶ greeted ──session──▶ closed

Client and server use the same monotonic clock, so the difference of any two stamps is a duration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coreserver.records.client import ClientRecord
from coreserver.records.joined import JoinedConnection
from coreserver.records.messages import MessageTable

Nanoseconds = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of a connection's time in nanoseconds; None if a part was not reached or not recorded.

    For a connection that was served and closed, the six parts add up to closed - due exactly.
    """

    lateness: int | None
    connect: int | None
    backlog: int | None
    queue: int | None
    greeting: int | None
    session: int | None


def parts(connection: JoinedConnection) -> Parts:
    """Return the six parts of one connection.

    A server may accept before the client's loop notices that its connect succeeded; then the connect ends at the accept
    and the backlog wait is zero, so that the parts still add up.
    """
    client, server = connection.client, connection.server
    accepted = server.accepted_ns if server else None
    started = server.started_ns if server else None
    connected = client.connected_ns
    if connected is not None and accepted is not None:
        connected = min(connected, accepted)
    return Parts(
        lateness=_span(client.due_ns, client.connect_start_ns),
        connect=_span(client.connect_start_ns, connected),
        backlog=_span(connected, accepted),
        queue=_span(accepted, started),
        greeting=_span(started, client.greeted_ns),
        session=_span(client.greeted_ns, client.closed_ns),
    )


def response_ns(table: MessageTable) -> Nanoseconds:
    """Return due to last reply byte of each measured message; it includes lateness and all waits."""
    counted = is_measured(table)
    return table.replied_ns[counted] - table.due_ns[counted]


def round_trip_ns(table: MessageTable) -> Nanoseconds:
    """Return sent to last reply byte of the same messages; it contains nothing from before the send."""
    counted = is_measured(table)
    return table.replied_ns[counted] - table.sent_ns[counted]


def is_measured(table: MessageTable) -> NDArray[np.bool_]:
    """Select the messages of the latency figures: answered, and due after the warm-up."""
    return table.is_answered & ~table.warm_up


def lateness_ns(clients: Sequence[ClientRecord], table: MessageTable) -> Nanoseconds:
    """Return the lateness of each message after the warm-up; it never contains the greeting wait.

    The first message of a connection is late by connect_start - due (known even if it was never sent), later ones by
    sent - due.

    Args:
        table: the messages of these `clients`.
    """
    opening = (_span(client.due_ns, client.connect_start_ns) for client in clients if not client.is_warm_up)
    first = np.fromiter((span for span in opening if span is not None), dtype=np.int64)
    return np.concatenate([first, later_lateness_ns(table)])


def later_lateness_ns(table: MessageTable) -> Nanoseconds:
    """Return the lateness of the messages on open connections."""
    later = ~table.is_first & ~table.warm_up
    return table.sent_ns[later] - table.due_ns[later]


def _span(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else end - start
