"""Which part of a run is measured."""

from __future__ import annotations

from typing import Any

import pytest

from coreserver.reports.measured_window import MeasuredWindow, group_window, hull
from coreserver.reports.schema.figures import Window
from tests.support.made_records import ZERO_NS, at, client

CLIENTS = [client(due=10, closed=500), client(due=20, closed=700), client(due=5, closed=None)]


@pytest.mark.parametrize(
    ("group", "window"),
    [
        ({"kind": "closed", "duration_s": 3.0}, (0, 3000)),
        ({"kind": "closed", "duration_s": 3.0, "warm_up_s": 1.0, "start_s": 0.5}, (1500, 3500)),
        ({"kind": "open", "duration_s": 3.0, "stages": None, "warm_up_s": None}, (0, 3000)),
        ({"kind": "open", "stages": [{"duration_s": 1.0}, {"duration_s": 2.5}], "duration_s": None}, (0, 3500)),
        ({"kind": "flood", "duration_s": 1.0}, (0, 1000)),
        ({"kind": "closed", "duration_s": 30.0}, (0, 9000)),  # the run was cancelled
        ({"kind": "closed", "duration_s": 30.0, "start_s": 10.0}, (10_000, 10_000)),  # before this group had begun
        ({"kind": "script"}, (5, 700)),
        ({}, (5, 700)),
    ],
)
def test_window_follows_settings_and_end(group: dict[str, Any], window: tuple[int, int]) -> None:
    found = group_window(group, CLIENTS, started_ns=ZERO_NS, ended_ns=at(9000))
    assert found == MeasuredWindow(*map(at, window))


def test_group_without_clients_has_no_window() -> None:
    assert group_window({"kind": "script"}, [], started_ns=ZERO_NS, ended_ns=at(1)) is None


def test_unclosed_clients_give_no_length() -> None:
    window = group_window({"kind": "script"}, CLIENTS[2:], started_ns=ZERO_NS, ended_ns=at(900))
    assert window == MeasuredWindow(at(5), at(5))
    assert window.length_s == 0


def test_window_of_run_contains_all_groups() -> None:
    assert hull([MeasuredWindow(5, 9), None, MeasuredWindow(3, 7)]) == MeasuredWindow(3, 9)
    assert hull([None]) is None


def test_report_has_window_in_seconds() -> None:
    assert MeasuredWindow(at(500), at(2000)).relative_to(ZERO_NS) == Window(from_s=0.5, until_s=2.0)
