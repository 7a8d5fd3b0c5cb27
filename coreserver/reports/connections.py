"""Every connection of a run as one flat row: what a table, a CSV file or a script wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coreserver.clock import seconds
from coreserver.reports.timing import JoinedConnection

if TYPE_CHECKING:
    from coreserver.run import RunResult


def connections_rows(result: RunResult) -> list[dict[str, Any]]:
    """All connections in the order of the groups; times in seconds from the run's start, None where not reached."""
    return [connection_row(connection, result.load.started_ns) for connection in result.connections]


def connection_row(connection: JoinedConnection, started_ns: int) -> dict[str, Any]:
    """One connection; bytes and messages are the client's own counts, `messages` those answered rightly."""
    client, server = connection.client, connection.server

    def since(at_ns: int | None) -> float | None:
        return None if at_ns is None else seconds(at_ns - started_ns)

    return {
        "name": client.name,
        "group": client.group,
        "due_s": since(client.due_ns),
        "connect_start_s": since(client.connect_start_ns),
        "connected_s": since(client.connected_ns),
        "greeted_s": since(client.greeted_ns),
        "closed_s": since(client.closed_ns),
        "accepted_s": since(server.accepted_ns) if server else None,
        "started_s": since(server.started_ns) if server else None,
        "finished_s": since(server.finished_ns) if server else None,
        "worker": server.worker if server else None,
        "outcome": client.outcome,
        "server_outcome": server.outcome if server else None,
        "detail": client.detail,
        "bytes_sent": client.bytes_sent,
        "bytes_received": client.bytes_received,
        "messages": sum(message.replied_ns is not None for message in client.messages),
    }
