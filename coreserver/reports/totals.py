"""Counts and distributions over a set of connections: a whole run's, or one group's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from coreserver.clients.records import ClientOutcome, ClientRecord, MessageRecord
from coreserver.clock import seconds
from coreserver.reports.stats import stats_ms
from coreserver.reports.timing import JoinedConnection, Parts, lateness_ns, parts, response_ns, round_trip_ns
from coreserver.telemetry import ConnectionRecord


def totals(connections: Sequence[JoinedConnection]) -> dict[str, Any]:
    """How many of what, over what time."""
    clients = [connection.client for connection in connections]
    messages = _message_counts(clients)
    duration_s = _duration_s(clients)
    return {
        "connections": _connection_counts(clients),
        "messages": messages,
        "bytes": {
            "sent": sum(client.bytes_sent for client in clients),
            "received": sum(client.bytes_received for client in clients),
        },
        "duration_s": duration_s,
        "throughput_messages_per_s": messages["verified"] / duration_s if duration_s else None,
        "peak_in_service": peak_in_service(c.server for c in connections if c.server is not None),
    }


def latency(connections: Iterable[JoinedConnection]) -> dict[str, Any]:
    """Response time, round trip and the generator's lateness, side by side."""
    clients = [connection.client for connection in connections]
    return {
        "response_ms": stats_ms(message_spans(clients, response_ns)),
        "round_trip_ms": stats_ms(message_spans(clients, round_trip_ns)),
        "lateness_ms": stats_ms(span for client in clients for span in lateness_ns(client)),
    }


def waits(connections: Iterable[JoinedConnection]) -> dict[str, Any]:
    """The parts of every connection's time, each over the connections that got so far."""
    split = [parts(connection) for connection in connections]

    def over(part: Callable[[Parts], int | None]) -> dict[str, float | int | None]:
        return stats_ms(span for span in map(part, split) if span is not None)

    return {
        "connect_ms": over(lambda p: p.connect),
        "backlog_ms": over(lambda p: p.backlog),
        "queue_ms": over(lambda p: p.queue),
        "greeting_ms": over(lambda p: p.greeting),
        "session_ms": over(lambda p: p.session),
    }


def message_spans(clients: Iterable[ClientRecord], span: Callable[[MessageRecord], int | None]) -> list[int]:
    """`span` of every message that was answered."""
    spans = (span(message) for client in clients for message in client.messages)
    return [length for length in spans if length is not None]


def peak_in_service(servers: Iterable[ConnectionRecord]) -> int | None:
    """The most connections with started <= t < finished at any one instant; None without any server record.

    A connection that had not finished when the records were gathered counts to the end.
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


def _connection_counts(clients: Sequence[ClientRecord]) -> dict[str, int]:
    """Every connection under one outcome; `unfinished` ones have none, because their client process died."""
    outcomes = Counter(client.outcome for client in clients)
    return {
        "due": len(clients),
        "connected": sum(client.connected_ns is not None for client in clients),
        "greeted": sum(client.greeted_ns is not None for client in clients),
        **{outcome.value: outcomes[outcome] for outcome in ClientOutcome},
        "unfinished": outcomes[None],
    }


def _message_counts(clients: Iterable[ClientRecord]) -> dict[str, int]:
    """A client stops reading at the first wrong byte, so a corrupted connection has one corrupted message.

    It has none when every message was answered and the wrong byte came outside of them.
    """
    sent = verified = corrupted = 0
    for client in clients:
        right = sum(message.replied_ns is not None for message in client.messages)
        sent += len(client.messages)
        verified += right
        corrupted += client.outcome is ClientOutcome.CORRUPTED and right < len(client.messages)
    return {"sent": sent, "verified": verified, "corrupted": corrupted, "unanswered": sent - verified - corrupted}


def _duration_s(clients: Iterable[ClientRecord]) -> float | None:
    """First due to last closed; None when no connection was closed."""
    first_due = min((client.due_ns for client in clients), default=None)
    last_closed = max((client.closed_ns for client in clients if client.closed_ns is not None), default=None)
    return None if first_due is None or last_closed is None else seconds(last_closed - first_due)
