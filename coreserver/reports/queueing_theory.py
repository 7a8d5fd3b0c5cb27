"""Predictions of queueing theory for a run: a check of the whole chain from arrivals to waits.

There are two predictions. The recursion uses every arrival and every service time of the run itself, so it involves no
chance and shows whether the waits were measured correctly. Erlang C uses the arrival rate and the mean service time
only, and shows whether arrivals and service times were as random as they should be.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from coreserver.clock import NS_PER_MS, NS_PER_S
from coreserver.records.joined import JoinedConnection
from coreserver.records.server import DesignFacts, Discipline
from coreserver.reports.batch_means import estimate_mean
from coreserver.reports.schema.figures import Theory
from coreserver.reports.timing import parts

Floats = npt.NDArray[np.float64]


class Passage(NamedTuple):
    """A connection in a queueing system: arrival, wait and service time, in seconds."""

    arrival_s: float
    wait_s: float
    service_s: float


def fcfs_waits(arrivals_s: Floats, services_s: Floats, servers: int) -> Floats:
    """Return the wait of each arrival for the first free one of `servers`, first come first served.

    Source: the recursion of Kiefer and Wolfowitz (Transactions of the AMS 78, 1955); the heap holds the instants at
    which each server is free.

    Args:
        arrivals_s: ascending instants.
        services_s: the service time of each arrival.
    """
    free = [-np.inf] * servers
    waits = np.empty(len(arrivals_s))
    for k, (arrival, service) in enumerate(zip(arrivals_s.tolist(), services_s.tolist(), strict=True)):
        start = max(arrival, free[0])
        heapq.heapreplace(free, start + service)
        waits[k] = start - arrival
    return waits


def erlang_c(offered: float, servers: int) -> float:
    """Return the probability that an arrival has to wait in M/M/c; `offered` load in erlangs, below `servers`.

    Erlang B is computed server by server, which neither overflows nor cancels for any number of servers.
    """
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = offered * blocked / (k + offered * blocked)
    return blocked / (1 - offered / servers * (1 - blocked))


def erlang_c_mean_wait_s(rate_per_s: float, mean_service_s: float, servers: int) -> float | None:
    """Return the mean wait in M/M/c over all arrivals, also those that do not wait; None if the queue only grows."""
    offered = rate_per_s * mean_service_s
    if offered >= servers:
        return None
    return erlang_c(offered, servers) * mean_service_s / (servers - offered)


def passages(connections: Sequence[JoinedConnection]) -> list[Passage] | None:
    """Return the passage of every connection in order of arrival; None if the wait or service of one is not known.

    A connection arrives when its connect succeeds, because from then on it waits for the server. If one were left out,
    the recursion would miss work that others waited for.
    """
    found = []
    for connection in connections:
        server, split = connection.server, parts(connection)
        if server is None or server.started_ns is None or server.finished_ns is None:
            return None
        if split.backlog is None or split.queue is None:
            return None
        waited_ns = split.backlog + split.queue
        found.append((server.started_ns - waited_ns, waited_ns, server.finished_ns - server.started_ns))
    return [Passage(*(ns / NS_PER_S for ns in spans)) for spans in sorted(found)]


def compare(passages: Sequence[Passage], servers: int, *, from_s: float, is_markovian: bool) -> Theory:
    """Return the measured mean wait with its 95 % interval, and the predictions of the recursion and of Erlang C.

    Args:
        from_s: arrivals before this instant (the warm-up) load the queue and are not compared.
        is_markovian: whether Erlang C applies: Poisson arrivals of one rate and exponential service times.
    """
    arrivals, waits, services = np.array(passages).T.reshape(3, -1)
    counted = arrivals >= from_s
    count = int(counted.sum())
    span_s = float(np.ptp(arrivals[counted])) if count else 0.0
    if span_s == 0:
        return Theory.without_figures(servers=servers, arrivals=count)
    rate, service_s = (count - 1) / span_s, float(services[counted].mean())
    estimate = estimate_mean(waits[counted])
    low, high = estimate.interval_95() if estimate else (None, None)
    predicted = fcfs_waits(arrivals, services, servers)[counted]
    return Theory(
        servers=servers,
        arrivals=count,
        arrival_rate_per_s=rate,
        mean_service_ms=_ms(service_s),
        utilisation=rate * service_s / servers,
        wait_ms=_ms(float(waits[counted].mean())),
        wait_low_ms=_ms(None if low is None else max(low, 0.0)),  # the interval is symmetric, waits are not
        wait_high_ms=_ms(high),
        recursion_wait_ms=_ms(float(predicted.mean())),
        erlang_c_wait_ms=_ms(erlang_c_mean_wait_s(rate, service_s, servers)) if is_markovian else None,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * NS_PER_S / NS_PER_MS


def theory(
    connections: Sequence[JoinedConnection],
    groups: Sequence[Mapping[str, Any]],
    work: Mapping[str, Any],
    design: DesignFacts,
    *,
    from_ns: int,
) -> Theory | None:
    """Return the predictions for this run; None unless theory covers it and all its records exist.

    Theory covers a server with a fixed number of workers that serves first come first served and sleeps once per
    connection, under one open group with Poisson arrivals. It does not cover a run in which a connection was refused.

    Args:
        groups, work: the run's client groups and the server's `work`, as plain values.
        design: the facts about the server's design that the run stored.
        from_ns: the end of the warm-up.
    """
    if not (_has_poisson_arrivals(groups) and _sleeps_per_connection(work)):
        return None
    workers = design.worker_names or ()
    if design.discipline is not Discipline.FIRST_COME_FIRST_SERVED or not _are_served_by(connections, workers):
        return None
    found = passages(connections)
    if not found:
        return None
    is_markovian = work["distribution"] == "exponential" and _is_one_poisson_stream(groups[0])
    return compare(found, len(workers), from_s=from_ns / NS_PER_S, is_markovian=is_markovian)


def _is_one_poisson_stream(group: Mapping[str, Any]) -> bool:
    """Whether the rate is constant; a second message would add its round trip to the service time."""
    return not group.get("stages") and group.get("messages_per_connection", 1) == 1


def _has_poisson_arrivals(groups: Sequence[Mapping[str, Any]]) -> bool:
    return [group.get("kind") for group in groups] == ["open"] and groups[0].get("arrivals", "poisson") == "poisson"


def _sleeps_per_connection(work: Mapping[str, Any]) -> bool:
    return work.get("kind") == "sleep" and work.get("per") == "connection"


def _are_served_by(connections: Sequence[JoinedConnection], workers: Sequence[str]) -> bool:
    """Whether only `workers` have served; another one means that the pool grew."""
    served_by = {connection.server.worker for connection in connections if connection.server is not None}
    return bool(workers) and served_by <= {None, *workers}
