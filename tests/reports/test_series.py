"""The run in steps of 100 ms."""

from typing import Any

import pytest

from coreserver.clients.records import ClientOutcome
from coreserver.reports.series import COLUMNS, series
from coreserver.reports.timing import JoinedConnection
from tests.reports.made import client, result, sample, server


def column(table: dict[str, Any], name: str) -> list[Any]:
    return [row[table["columns"].index(name)] for row in table["rows"]]


@pytest.mark.parametrize(("ended", "rows"), [(1000, 10), (1000.001, 11), (999, 10), (0, 1), (40, 1)])
def test_a_run_has_a_row_for_every_step_it_touched(ended: float, rows: int) -> None:
    table = series(result(ended=ended))
    assert len(table["rows"]) == rows
    assert all(len(row) == len(COLUMNS) for row in table["rows"])
    assert column(table, "t_s") == [k / 10 for k in range(rows)]


def test_counts_fall_into_the_step_they_happened_in_and_standing_figures_hold_at_its_beginning() -> None:
    good = JoinedConnection(client(due=0, connect=0, connected=50, greeted=150, closed=300), server(100, 120, 310))
    late = JoinedConnection(
        client("conn2", due=100, connect=110, connected=120, closed=400, outcome=ClientOutcome.TIMED_OUT), None
    )
    table = series(result([good, late], ended=400))
    assert column(table, "due") == [1, 1, 0, 0]
    assert column(table, "started") == [0, 1, 0, 0]
    assert column(table, "completed") == [0, 0, 0, 1]
    assert column(table, "failed") == [0, 0, 0, 1]  # at 400 ms sharp: the run's end belongs to its last step
    assert column(table, "in_flight") == [1, 1, 2, 1]
    assert column(table, "waiting") == [0, 1, 1, 1]
    assert column(table, "in_service") == [0, 0, 1, 1]


def test_without_server_records_and_samples_their_columns_are_null() -> None:
    table = series(result([JoinedConnection(client(closed=100), None)], ended=200))
    for name in ("in_service", "threads_alive", "queue_depth", "cpu_percent", "rss_bytes"):
        assert column(table, name) == [None, None]


def test_samples_are_taken_from_the_nearest_look_within_one_step() -> None:
    looks = [sample(-30, cpu_s=1.0, queue=1), sample(70, cpu_s=1.05, queue=2), sample(170, cpu_s=1.05, queue=3)]
    table = series(result(samples=looks, ended=500))
    assert column(table, "queue_depth") == [1, 2, 3, None, None]
    assert column(table, "cpu_percent") == [None, pytest.approx(50.0), 0.0, None, None]


def test_a_failed_connection_without_a_close_ends_where_it_was_last_seen() -> None:
    refused = client(due=0, connect=120, outcome=ClientOutcome.REFUSED)
    never = client("conn2", due=0, connect=None, outcome=ClientOutcome.NOT_STARTED)
    table = series(result([JoinedConnection(refused, None), JoinedConnection(never, None)], ended=300))
    assert column(table, "failed") == [1, 1, 0]
    assert column(table, "in_flight") == [0, 0, 0]
