"""The run in steps of 100 ms."""

import pytest

from coreserver.records.client import ClientOutcome
from coreserver.records.joined import JoinedConnection
from coreserver.records.run_result import RunResult
from coreserver.reports.schema.definitions import COLUMNS
from coreserver.reports.schema.figures import Series
from coreserver.reports.time_series import series
from tests.support.made_records import client, result, sample, server, table


def rows(of: RunResult) -> Series:
    return series(of, table(of.connections))


@pytest.mark.parametrize(("ended", "steps"), [(1000, 10), (1000.001, 11), (999, 10), (0, 1), (40, 1)])
def test_run_has_a_row_per_step(ended: float, steps: int) -> None:
    shown = rows(result(ended=ended))
    assert len(shown.rows) == steps
    assert all(len(row) == len(COLUMNS) for row in shown.rows)
    assert shown.column("t_s") == [k / 10 for k in range(steps)]


def test_events_count_within_their_step() -> None:
    good = JoinedConnection(client(due=0, connect=0, connected=50, greeted=150, closed=300), server(100, 120, 310))
    late = JoinedConnection(
        client("conn2", due=100, connect=110, connected=120, closed=400, outcome=ClientOutcome.TIMED_OUT), None
    )
    shown = rows(result([good, late], ended=400))
    assert shown.column("due") == [1, 1, 0, 0]
    assert shown.column("started") == [0, 1, 0, 0]
    assert shown.column("completed") == [0, 0, 0, 1]
    assert shown.column("failed") == [0, 0, 0, 1]  # at 400 ms sharp: the run's end belongs to its last step
    assert shown.column("in_flight") == [1, 1, 2, 1]
    assert shown.column("waiting") == [0, 1, 1, 1]
    assert shown.column("in_service") == [0, 0, 1, 1]


def test_missing_records_give_null_columns() -> None:
    shown = rows(result([JoinedConnection(client(closed=100), None)], ended=200))
    for name in ("in_service", "threads_alive", "queue_depth", "cpu_percent", "rss_bytes"):
        assert shown.column(name) == [None, None]


def test_nearest_sample_within_a_step_counts() -> None:
    looks = [sample(-30, cpu_s=1.0, queue=1), sample(70, cpu_s=1.05, queue=2), sample(170, cpu_s=1.05, queue=3)]
    shown = rows(result(samples=looks, ended=500))
    assert shown.column("queue_depth") == [1, 2, 3, None, None]
    assert shown.column("cpu_percent") == [None, pytest.approx(50.0), 0.0, None, None]


def test_listen_overflows_are_increases() -> None:
    looks = [sample(-30, overflows=5), sample(70, overflows=5), sample(170, overflows=9), sample(270, overflows=10)]
    shown = rows(result(samples=looks, ended=500))
    assert shown.column("listen_overflows") == [0, 0, 4, 1, None]
    unknown = rows(result(samples=[sample(0, overflows=None), sample(100, overflows=None)], ended=200))
    assert unknown.column("listen_overflows") == [None, None]


def test_unclosed_failure_ends_at_its_last_stamp() -> None:
    refused = client(due=0, connect=120, outcome=ClientOutcome.REFUSED)
    never = client("conn2", due=0, connect=None, outcome=ClientOutcome.NOT_STARTED)
    shown = rows(result([JoinedConnection(refused, None), JoinedConnection(never, None)], ended=300))
    assert shown.column("failed") == [1, 1, 0]
    assert shown.column("in_flight") == [0, 0, 0]


def test_response_counts_where_it_was_due() -> None:
    mine = client(due=0, connect=0, messages=[(10, 20, 130), (150, 160, 170), (190, 195, 350), (290, 299, None)])
    shown = rows(result([JoinedConnection(mine, None)], ended=400))
    assert shown.column("messages_due") == [1, 2, 1, 0]
    assert shown.column("messages_sent") == [1, 2, 1, 0]
    assert shown.column("messages_answered") == [0, 2, 0, 1]
    assert shown.column("messages_in_flight") == [0, 1, 1, 2]
    assert shown.column("response_max_ms") == [120, 160, None, None]
    assert shown.column("response_p50_ms") == [None] * 4  # too few samples


def test_step_percentiles_need_samples() -> None:
    few = client(messages=[(k, k, k + 10) for k in range(20)])
    many = client(messages=[(100 + k / 20, 110, 110 + k / 20) for k in range(1000)])
    shown = rows(result([JoinedConnection(few, None), JoinedConnection(many, None)], ended=200))
    assert shown.column("response_p50_ms") == [10, 10]
    assert shown.column("response_p99_ms") == [None, 10]


def test_series_includes_the_warm_up() -> None:
    shown = rows(result([JoinedConnection(client(messages=[(10, 11, 15)], warm_up=50), None)], ended=100))
    assert shown.column("response_max_ms") == [5]
