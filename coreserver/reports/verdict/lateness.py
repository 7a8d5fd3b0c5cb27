"""Reasons about the lateness of clients. Clients due at one instant are judged by how long their connects took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from coreserver.clock import milliseconds
from coreserver.records.client import ClientRecord
from coreserver.reports.percentiles import stats_ms
from coreserver.reports.schema.definitions import samples_needed
from coreserver.reports.schema.verdict_shape import VerdictReason
from coreserver.reports.timing import Nanoseconds, later_lateness_ns
from coreserver.reports.verdict.evidence import Evidence, reason

# Lateness is part of the response time, so it must stay small compared with it. With a timerfd its p99 is 0.1 to
# 0.3 ms. A p99 is based on a thousand samples or more and has a strict bound; the maximum of a few clients counts
# only if it is visible in the timeline.
LATE_P99_MS = 1.0
LATE_MAX_MS = 50.0
OF_RESPONSE = 0.05  # a smaller share of the mean response time is tolerable

# The clients of a group that are all due at its start connect one after the other; a client process takes about 0.1 ms
# for each. Up to a small multiple of it the delay follows from the schedule itself.
CONNECT_EACH_MS = 0.25
SPREAD_MS = 10.0  # from here on the delay is visible in the first response times, and the run gets a note


def check_lateness(evidence: Evidence) -> Iterator[VerdictReason]:
    """Yield reasons for late clients, and for groups that are due at one instant and took long to connect."""
    crowds, others = _openings(evidence)
    table = evidence.table
    yield from _late(evidence, np.concatenate([others, later_lateness_ns(table)]))
    for group, spans_ns in crowds.items():
        yield from _crowd(evidence, group, len(spans_ns), milliseconds(int(spans_ns.max())))


def tolerable_ms(evidence: Evidence, floor_ms: float) -> float:
    """Return the lateness that is tolerable for the response times of this run, at least `floor_ms`."""
    return max(floor_ms, OF_RESPONSE * (evidence.latency.response_ms.mean or 0.0))


def _late(evidence: Evidence, spans_ns: Nanoseconds) -> Iterator[VerdictReason]:
    spans = stats_ms(spans_ns)
    shown, late, floor = ("p99", spans.p99, LATE_P99_MS)
    if len(spans_ns) < samples_needed(990):
        shown, late, floor = ("maximum", spans.max, LATE_MAX_MS)
    limit = tolerable_ms(evidence, floor)
    if late is not None and late > limit:
        detail = f"the clients were late: {shown} {late:.1f} ms, the limit is {limit:.1f} ms"
        yield reason("clients_late", "suspect", detail)


def _crowd(evidence: Evidence, group: str, clients: int, took_ms: float) -> Iterator[VerdictReason]:
    limit = tolerable_ms(evidence, max(LATE_MAX_MS, clients * CONNECT_EACH_MS))
    fact = f"the {clients:,} clients of {group}, due at one instant, took {took_ms:,.1f} ms to start connecting"
    if took_ms > limit:
        detail = f"the clients were late: {fact}; the limit is {limit:,.1f} ms"
        yield reason("clients_late", "suspect", detail)
    elif took_ms > tolerable_ms(evidence, SPREAD_MS):
        detail = f"{fact}, one after the other; this delay is part of their first response times"
        yield reason("connects_spread", "note", detail)


def _openings(evidence: Evidence) -> tuple[dict[str, Nanoseconds], Nanoseconds]:
    """Return how late measured clients connected: those due with a whole group, by its name, and all others.

    A group with a `count` has that many clients at its start; clients that reconnect later are due one by one.
    """
    counted = {group["name"] for group in evidence.groups if "count" in group}
    by_group: dict[str, list[ClientRecord]] = defaultdict(list)
    for connection in evidence.result.connections:
        by_group[connection.client.group].append(connection.client)
    crowds: dict[str, Nanoseconds] = {}
    others: list[ClientRecord] = []
    for name, members in by_group.items():
        start_ns = min(member.due_ns for member in members) if name in counted else None
        at_start = [member for member in members if member.due_ns == start_ns]
        if len(spans_ns := _spans_ns(at_start)):
            crowds[name] = spans_ns
        others += [member for member in members if member.due_ns != start_ns]
    return crowds, _spans_ns(others)


def _spans_ns(clients: Sequence[ClientRecord]) -> Nanoseconds:
    return np.fromiter(_opening_ns(clients), dtype=np.int64)


def _opening_ns(clients: Iterable[ClientRecord]) -> Iterator[int]:
    for client in clients:
        if client.connect_start_ns is not None and not client.is_warm_up:
            yield client.connect_start_ns - client.due_ns
