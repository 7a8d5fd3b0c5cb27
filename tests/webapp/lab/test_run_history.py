"""Phase, expected end and history of a run in progress."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from pydantic import TypeAdapter

from coreserver.config.load import ClientGroup
from coreserver.records.client import ClientOutcome, ClientRecord
from webapp.lab.run_history import COLUMNS, MAX_KINDS_SHOWN, MAX_POINTS, Errors, Point, Points
from webapp.lab.run_phases import Expectation, expectation, phase_at, queued_words

GROUPS = TypeAdapter(list[ClientGroup])


def expected(*groups: dict[str, Any]) -> Expectation:
    return expectation(GROUPS.validate_python([{"name": f"g{k}", **group} for k, group in enumerate(groups)]))


# --- what is expected ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "end_s", "is_about"),
    [
        ([{"kind": "closed", "duration_s": 5.0, "start_s": 1.0}], 6.0, False),
        ([{"kind": "open", "stages": [{"rate_per_s": 5.0, "duration_s": 2.0}] * 3}], 6.0, False),
        ([{"kind": "idle", "hold_s": 4.0}, {"kind": "flood", "duration_s": 1.0}], 4.0, False),
        ([{"kind": "script", "start_s": 1.0}], 3.2, True),
        ([{"kind": "script", "script": [{"send": "^a$"}, {"wait_s": 0.5}]}], 0.5, True),
        ([{"kind": "closed", "duration_s": 5.0}, {"kind": "reset", "start_s": 1.0}], 5.0, True),
    ],
)
def test_expected_end_follows_groups(groups: list[dict[str, Any]], end_s: float, is_about: bool) -> None:
    found = expected(*groups)
    assert found.end_s == pytest.approx(end_s)
    assert found.is_about == is_about


@pytest.mark.parametrize(
    ("elapsed_s", "counts", "phase"),
    [
        (0.1, {"due": 4, "connecting": 4}, "connecting"),
        (0.5, {"due": 4, "in_service": 4}, "warm_up"),
        (2.0, {"due": 4, "in_service": 4}, "measuring"),
        (5.5, {"due": 4, "in_service": 1, "completed": 3}, "finishing"),
        (5.5, {"due": 4, "completed": 3, "failed": 1}, "reading"),
        (2.0, {"due": 4, "completed": 4}, "measuring"),  # more may come
    ],
)
def test_phase_follows_time_and_clients(elapsed_s: float, counts: dict[str, int], phase: str) -> None:
    assert phase_at(expected({"kind": "closed", "duration_s": 5.0, "warm_up_s": 1.0}), elapsed_s, counts) == phase


def test_queued_run_has_a_position() -> None:
    assert queued_words(0).startswith("Queued: this run is next. ")
    assert queued_words(1).startswith("Queued: 1 run is ahead. ")
    assert queued_words(3).startswith("Queued: 3 runs are ahead. ")


# --- points --------------------------------------------------------------------------------------------------------


def long_run(seconds: int) -> Points:
    points = Points()
    for k in range(10 * seconds):
        if points.is_due(k / 10):
            points.add(Point(k / 10, messages=100 * k, begun=k, in_service=1, waiting=0))
    return points


def test_rate_covers_span_between_points() -> None:
    table = long_run(3).table()
    assert table.columns == list(COLUMNS)
    assert table.rows[0][:3] == [0.0, None, None]
    assert {row[1] for row in table.rows[1:]} == {1000.0}
    assert long_run(3).rates() == (1000.0, 10.0)


def test_long_run_keeps_even_points() -> None:
    rows = long_run(600).table().rows
    assert MAX_POINTS / 2 <= len(rows) <= MAX_POINTS
    gaps = [round((after[0] or 0) - (before[0] or 0), 3) for before, after in pairwise(rows)]
    assert max(gaps) < 4
    assert rows[0][0] == 0.0
    assert (rows[-1][0] or 0) > 597
    assert {row[1] for row in rows[1:]} == {1000.0}


def test_single_point_has_no_rate() -> None:
    assert long_run(0).rates() == (None, None)


# --- errors --------------------------------------------------------------------------------------------------------


def failed(outcome: ClientOutcome | None, detail: str = "") -> ClientRecord:
    return ClientRecord("conn1", "g", 0, outcome=outcome, detail=detail)


def test_newest_error_kinds_come_first() -> None:
    errors = Errors()
    errors.take([failed(ClientOutcome.RESET), failed(ClientOutcome.RESET), failed(ClientOutcome.COMPLETED)], 1.0)
    errors.take([failed(ClientOutcome.REFUSED, "ECONNREFUSED"), failed(None)], 2.0)
    found, untold = errors.newest(failed=5)
    assert [(e.outcome, e.detail, e.count, e.last_s) for e in found] == [
        ("refused", "ECONNREFUSED", 1, 2.0),
        ("reset", "", 2, 1.0),
    ]
    assert untold == 2
    errors.take([failed(ClientOutcome.RESET)], 3.0)
    assert errors.newest(failed=4)[0][0].outcome == "reset"


def test_error_kinds_are_bounded() -> None:
    errors = Errors()
    for k in range(1000):
        errors.take([failed(ClientOutcome.RESET, f"detail {k}")], float(k))
    found, untold = errors.newest(failed=1000)
    assert len(found) == MAX_KINDS_SHOWN
    assert sum(error.count for error in found) + untold == 1000
    assert found[0].detail == "other kinds"
