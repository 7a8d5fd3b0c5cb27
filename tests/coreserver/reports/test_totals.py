"""Counts, duration, throughput and the peak of connections in service."""

import pytest

from coreserver.records.client import ClientOutcome
from coreserver.records.joined import JoinedConnection
from coreserver.reports.measured_window import MeasuredWindow, group_window
from coreserver.reports.schema.figures import Totals, WarmUpCounts
from coreserver.reports.totals import latency, peak_in_service, totals, waits
from tests.support.made_records import ZERO_NS, at, client, pool_of_two, server, staircase, table

Span = tuple[float, float | None, float | None]


def figures_of(connections: list[JoinedConnection]) -> Totals:
    """Return the totals, over the window of a group without a duration."""
    clients = [connection.client for connection in connections]
    window = group_window({}, clients, started_ns=ZERO_NS, ended_ns=at(10_000))
    return totals(connections, table(connections), window)


@pytest.mark.parametrize(
    ("spans", "peak"),
    [
        ([], None),
        ([(0, None, None)], 0),  # accepted, never started
        ([(0, 1, 5), (0, 5, 9)], 1),  # one ends as the next begins
        ([(0, 1, 5), (0, 4, 9)], 2),
        ([(0, 1, 9), (0, 2, 8), (0, 3, 7), (0, 7, 10)], 3),
        ([(0, 1, None), (0, 50, 60)], 2),  # not finished: in service to the end
        ([(0, 5, 5)], 0),  # no time at all
    ],
)
def test_peak_in_service(spans: list[Span], peak: int | None) -> None:
    assert peak_in_service(server(*span) for span in spans) == peak


def test_sequential_run_serves_one_at_a_time() -> None:
    figures = figures_of(staircase())
    assert figures.peak_in_service == 1
    assert figures.duration_s == 6.6
    assert figures.throughput_messages_per_s == pytest.approx(3 / 6.6)


def test_pool_of_two_serves_two_at_once() -> None:
    assert figures_of(pool_of_two()).peak_in_service == 2


def test_connection_counts_under_one_outcome() -> None:
    ends = [*ClientOutcome, ClientOutcome.RESET, None]
    figures = figures_of([JoinedConnection(client(outcome=outcome, connect=None), None) for outcome in ends])
    counts = figures.connections
    assert counts.model_dump() == {
        "due": 10,
        "connected": 0,
        "greeted": 0,
        "completed": 1,
        "refused": 1,
        "reset": 2,
        "timed_out": 1,
        "corrupted": 1,
        "not_started": 1,
        "self_connect": 1,
        "cancelled": 1,
        "unfinished": 1,
    }


def test_unmeasured_figures_are_none() -> None:
    figures = figures_of([JoinedConnection(client(connect=None, outcome=ClientOutcome.NOT_STARTED), None)])
    assert figures.duration_s is None
    assert figures.throughput_messages_per_s is None
    assert figures.peak_in_service is None
    assert figures.messages.sent == 0


def test_wrong_reply_corrupts_one_message() -> None:
    wrong = client(outcome=ClientOutcome.CORRUPTED, closed=9, messages=[(0, 1, 2), (0, 3, None), (0, 4, None)])
    outside = client(outcome=ClientOutcome.CORRUPTED, closed=9, messages=[(0, 1, 2)])
    counts = figures_of([JoinedConnection(wrong, None), JoinedConnection(outside, None)]).messages
    assert counts.model_dump() == {"sent": 4, "verified": 2, "corrupted": 1, "unanswered": 1}


def test_response_contains_the_wait() -> None:
    figures = latency(staircase(), table(staircase()))
    assert figures.response_ms.max == pytest.approx(4405)
    assert figures.round_trip_ms.max == pytest.approx(2)
    assert figures.lateness_ms.max == 0


def test_backlog_and_queue_waits_differ() -> None:
    one_by_one, pool = waits(staircase()), waits(pool_of_two())
    assert (one_by_one.backlog_ms.max, one_by_one.queue_ms.max) == (4401, 0)
    assert (pool.backlog_ms.max, pool.queue_ms.max) == (2, 2200)
    assert pool.greeting_ms.count == 3


def warmed(due: float, closed: float, *messages: tuple[float, float, float]) -> JoinedConnection:
    """Return a connection of a group whose warm-up ends at 100 ms; it is connected 2 ms after it was due."""
    mine = client(due=due, connect=due + 1, connected=due + 2, closed=closed, messages=messages, warm_up=100)
    return JoinedConnection(mine, server(due + 3, due + 4, closed + 1))


WARMED = [
    warmed(0, 40, (0, 7, 9)),
    warmed(90, 500, (90, 97, 99), (200, 203, 205)),
    warmed(150, 900, (150, 157, 160), (300, 304, 850)),
]


def test_warm_up_counts_in_totals_only() -> None:
    figures = totals(WARMED, table(WARMED), MeasuredWindow(at(100), at(600)))
    assert (figures.connections.due, figures.messages.verified) == (3, 5)
    assert figures.warm_up == WarmUpCounts(connections=2, messages=2)
    assert figures.throughput_messages_per_s == 4.0  # two in half a second: the last came after the window
    measured = latency(WARMED, table(WARMED))
    assert (measured.response_ms.count, measured.response_ms.max) == (3, 550)
    assert (measured.lateness_ms.count, measured.lateness_ms.max) == (3, 4)
    assert waits(WARMED).connect_ms == waits(WARMED[2:]).connect_ms
