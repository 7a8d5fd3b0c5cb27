"""Client and server records of the same connection, side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from coreserver.records.client import ClientRecord
from coreserver.records.server import ConnectionRecord


@dataclass(frozen=True, slots=True)
class JoinedConnection:
    """Records of one connection: the client's, and the server's if the server accepted it."""

    client: ClientRecord
    server: ConnectionRecord | None


def join(clients: Sequence[ClientRecord], servers: Iterable[ConnectionRecord]) -> list[JoinedConnection]:
    """Join every client record with the server record of the same connection, in the order of the client records.

    Ports are reused within seconds, so an address alone is not enough. The k-th connection from an address and port
    belongs to the k-th accept from it, because the kernel delivers connections in the order in which they were made.
    Server records of other clients are omitted.
    """
    accepts: dict[tuple[str, int], list[ConnectionRecord]] = defaultdict(list)
    for record in servers:
        accepts[record.peer].append(record)
    attempts: dict[tuple[str, int], list[_Attempt]] = defaultdict(list)
    for client in clients:
        if client.local is not None and client.connect_start_ns is not None:
            attempts[client.local].append(_Attempt(client.connect_start_ns, client))
    partner: dict[int, ConnectionRecord] = {}
    for local, tried in attempts.items():
        tried.sort(key=lambda attempt: attempt.began_ns)
        partner.update(_pair(tried, sorted(accepts[local], key=lambda record: record.accepted_ns)))
    return [JoinedConnection(client, partner.get(id(client))) for client in clients]


class _Attempt(NamedTuple):
    began_ns: int
    client: ClientRecord


def _pair(tried: Sequence[_Attempt], accepts: Sequence[ConnectionRecord]) -> dict[int, ConnectionRecord]:
    """Pair the k-th connection attempt with the k-th accept of one address and port; a failed attempt has no accept.

    An attempt that was cancelled before its result may still have been accepted, so it is skipped only if a later
    attempt had begun by then. An accept before the first attempt belongs to another client.
    """
    partner: dict[int, ConnectionRecord] = {}
    k = 0
    for record in accepts:
        while (
            k + 1 < len(tried) and tried[k].client.connected_ns is None and tried[k + 1].began_ns <= record.accepted_ns
        ):
            k += 1
        if k < len(tried) and tried[k].began_ns <= record.accepted_ns:
            partner[id(tried[k].client)] = record
            k += 1
    return partner
