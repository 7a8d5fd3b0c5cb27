"""Connections of a run as flat rows, for tables, CSV files and scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from coreserver.clock import seconds
from coreserver.records.joined import JoinedConnection
from coreserver.records.messages import table_of


def connections_rows(connections: Sequence[JoinedConnection], started_ns: int) -> list[dict[str, Any]]:
    """Return one row per connection in this order; times in seconds from the run's start, None if not reached.

    Bytes and messages are counts of the client; `messages` counts those with a correct reply.
    """
    table = table_of(connection.client for connection in connections)
    answered = np.bincount(table.connection[table.is_answered], minlength=len(connections)).tolist()
    return [_row(*pair, started_ns) for pair in zip(connections, answered, strict=True)]


def _row(connection: JoinedConnection, answered: int, started_ns: int) -> dict[str, Any]:
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
        "messages": answered,
    }
