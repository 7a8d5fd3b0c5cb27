"""Counts and distributions of a set of connections: those of a whole run, or of one group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from coreserver.clock import seconds
from coreserver.records.client import ClientOutcome, ClientRecord
from coreserver.records.joined import JoinedConnection
from coreserver.records.messages import MessageTable
from coreserver.records.server import ConnectionRecord
from coreserver.reports.measured_window import MeasuredWindow
from coreserver.reports.percentiles import stats_ms
from coreserver.reports.schema.figures import (
    ByteCounts,
    ConnectionCounts,
    Latency,
    MessageCounts,
    Statistics,
    Totals,
    Waits,
    WarmUpCounts,
)
from coreserver.reports.timing import Parts, lateness_ns, parts, response_ns, round_trip_ns


def totals(connections: Sequence[JoinedConnection], table: MessageTable, window: MeasuredWindow | None) -> Totals:
    """Count connections, messages and bytes, including the warm-up; only the throughput is limited to the window.

    Args:
        table: the messages of these connections.
    """
    clients = [connection.client for connection in connections]
    return Totals(
        connections=_connection_counts(clients),
        messages=_message_counts(clients, table),
        warm_up=WarmUpCounts(
            connections=sum(client.is_warm_up for client in clients),
            messages=int(np.count_nonzero(table.warm_up)),
        ),
        bytes=ByteCounts(
            sent=sum(client.bytes_sent for client in clients),
            received=sum(client.bytes_received for client in clients),
        ),
        duration_s=_duration_s(clients),
        throughput_messages_per_s=_throughput_per_s(table, window),
        peak_in_service=peak_in_service(c.server for c in connections if c.server is not None),
    )


def latency(connections: Iterable[JoinedConnection], table: MessageTable) -> Latency:
    """Return response time, round trip and the lateness of the load generator, without the warm-up."""
    clients = [connection.client for connection in connections]
    return Latency(
        response_ms=stats_ms(response_ns(table)),
        round_trip_ms=stats_ms(round_trip_ns(table)),
        lateness_ms=stats_ms(lateness_ns(clients, table)),
    )


def waits(connections: Iterable[JoinedConnection]) -> Waits:
    """Return the parts of the connections' time without the warm-up, each over the connections that reached it."""
    split = [parts(connection) for connection in connections if not connection.client.is_warm_up]

    def over(part: Callable[[Parts], int | None]) -> Statistics:
        return stats_ms(span for span in map(part, split) if span is not None)

    return Waits(
        connect_ms=over(lambda p: p.connect),
        backlog_ms=over(lambda p: p.backlog),
        queue_ms=over(lambda p: p.queue),
        greeting_ms=over(lambda p: p.greeting),
        session_ms=over(lambda p: p.session),
    )


def peak_in_service(servers: Iterable[ConnectionRecord]) -> int | None:
    """Return the largest number of connections with started <= t < finished; None without any server record.

    A connection that had not finished when the records were gathered counts until the end.
    """
    steps: list[tuple[int, int]] = []
    known = False
    for record in servers:
        known = True
        if record.started_ns is not None:
            steps.append((record.started_ns, +1))
            if record.finished_ns is not None:
                steps.append((record.finished_ns, -1))
    if not known:
        return None
    peak = now = 0
    for _, step in sorted(steps):  # at one instant ends come first: a connection is not in service at its finish
        now += step
        peak = max(peak, now)
    return peak


def _connection_counts(clients: Sequence[ClientRecord]) -> ConnectionCounts:
    """Count each connection under one outcome; `unfinished` ones have none because their client process died."""
    outcomes = Counter(client.outcome for client in clients)
    return ConnectionCounts(
        due=len(clients),
        connected=sum(client.connected_ns is not None for client in clients),
        greeted=sum(client.greeted_ns is not None for client in clients),
        unfinished=outcomes[None],
        **{outcome.value: outcomes[outcome] for outcome in ClientOutcome},
    )


def _message_counts(clients: Sequence[ClientRecord], table: MessageTable) -> MessageCounts:
    """Count the messages. A client stops reading at the first wrong byte: one corrupted message per such connection.

    There is none if all messages were answered and the wrong byte came outside of any reply.
    """
    sent, verified = len(table), int(np.count_nonzero(table.is_answered))
    unanswered_of = np.bincount(table.connection[~table.is_answered], minlength=len(clients))
    ended_wrong = np.array([client.outcome is ClientOutcome.CORRUPTED for client in clients], dtype=np.bool_)
    corrupted = int(np.count_nonzero(unanswered_of[ended_wrong]))
    unanswered = sent - verified - corrupted
    return MessageCounts(sent=sent, verified=verified, corrupted=corrupted, unanswered=unanswered)


def _throughput_per_s(table: MessageTable, window: MeasuredWindow | None) -> float | None:
    if window is None or window.length_s == 0:
        return None
    replied = table.replied_ns[table.is_answered]
    within = np.count_nonzero((replied >= window.from_ns) & (replied <= window.until_ns))
    return float(within) / window.length_s


def _duration_s(clients: Iterable[ClientRecord]) -> float | None:
    """Return the time from first due to last closed; None if no connection was closed."""
    first_due = min((client.due_ns for client in clients), default=None)
    last_closed = max((client.closed_ns for client in clients if client.closed_ns is not None), default=None)
    return None if first_due is None or last_closed is None else seconds(last_closed - first_due)
