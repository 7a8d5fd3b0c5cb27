"""The worker lanes: who served whom when, with a level for each that was served at the same time."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # we parse our own output
from dataclasses import replace
from itertools import pairwise

import pytest

from coreserver.reports.timeline_rows import TimelineRow
from tests.support.drawings import NS, POOL, Picture
from webapp.timeline.drawing import draw_lanes


def test_a_lane_a_worker_and_a_bar_a_connection() -> None:
    picture = Picture(draw_lanes(POOL, title="workers"))
    assert picture.texts("tl-name") == ["worker-1", "worker-2"]
    assert picture.texts("tl-worker") == ["conn1", "conn3", "conn2"]
    spans = [picture.span_s(row, "tl-served") for row in picture.rows()]
    assert spans == [(0.1, 2.0), (2.0, 4.0), (0.1, 2.0)]


def test_lanes_are_in_the_order_a_person_counts() -> None:
    rows = [replace(POOL[0], worker=f"worker-{k}") for k in (10, 2, 1)]
    assert Picture(draw_lanes(rows, title="t")).texts("tl-name") == ["worker-1", "worker-2", "worker-10"]


def test_clients_that_no_worker_took_are_counted() -> None:
    waiting = TimelineRow("conn4", "script", 0, 0.1, None, None, 3.0, "timed_out", None)
    root = ET.fromstring(draw_lanes([*POOL, waiting], title="t"))  # noqa: S314
    assert list(root)[1].text == (
        "2 workers served 3 clients; worker-1 served most, 2. 1 client not shown, for want of a worker."
    )


def test_thousands_of_workers_are_thinned_out_and_said_so() -> None:
    rows = [replace(POOL[0], worker=f"client-{k}") for k in range(5000)]
    assert Picture(draw_lanes(rows, title="t")).texts("tl-note") == ["5,000 workers: one in 5 is drawn."]


def at_once(count: int, worker: str = "loop") -> list[TimelineRow]:
    """Clients that one worker serves at the same time, each starting 10 ms after the one before."""
    return [TimelineRow(f"c{k}", "g", 0, 0, 0, 0.01 * k, 2.0, "completed", worker) for k in range(count)]


def middles(picture: Picture) -> list[float]:
    """How far down each row's bar is: a path begins at its upper edge."""
    paths = [path for row in picture.rows() for path in row.iter(f"{NS}path") if path.get("class") == "tl-served"]
    return [float(path.attrib["d"].split()[1].split("H")[0]) for path in paths]


def test_a_worker_that_serves_several_at_once_has_a_level_for_each() -> None:
    later = TimelineRow("later", "g", 0, 0, 0, 2.0, 3.0, "completed", "loop")
    picture = Picture(draw_lanes([*at_once(3), later], title="t"))
    assert picture.texts("tl-name") == ["loop"]
    assert picture.texts("tl-worker") == ["c0", "later", "c1", "c2"]  # the upper level is free again at 2 s
    first, after, second, third = middles(picture)
    assert first == after < second < third
    assert picture.texts("tl-note") == []


def test_several_workers_are_set_apart_and_named_in_their_middle() -> None:
    picture = Picture(draw_lanes([*at_once(3, "loop-1"), *at_once(2, "loop-2")], title="t"))
    tops = middles(picture)
    steps = [below - above for above, below in pairwise(tops)]
    assert steps[2] > steps[0] == steps[1] == steps[3]
    named = [float(e.attrib["y"]) for e in picture.root.iter(f"{NS}text") if e.get("class") == "tl-name"]
    assert named[0] - 4 == pytest.approx(tops[1] + 17 / 2, abs=0.1)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (at_once(96), []),
        (at_once(100), ["Of each worker at most 96 clients at a time can be drawn; 4 more are left out."]),
        (
            [row for k in range(200) for row in at_once(2, f"w{k}")],
            ["Of each worker at most one client at a time can be drawn; 200 more are left out."],
        ),
    ],
)
def test_levels_have_an_end_and_the_picture_says_so(rows: list[TimelineRow], words: list[str]) -> None:
    assert " ".join(Picture(draw_lanes(rows, title="t")).texts("tl-note")) == " ".join(words)


def test_clients_without_a_level_are_served_all_the_same() -> None:
    root = ET.fromstring(draw_lanes(at_once(100), title="t"))  # noqa: S314
    assert list(root)[1].text == "1 worker served 100 clients; loop served most, 100."


def test_very_many_bars_that_touch_are_one() -> None:
    row = replace(POOL[0], worker="loop")
    busy = [replace(row, started_s=0.001 * k, finished_s=0.001 * (k + 1)) for k in range(3000)]
    apart = [replace(row, started_s=4.0 + 0.1 * k, finished_s=4.05 + 0.1 * k) for k in range(3)]
    (bars,) = Picture(draw_lanes([*busy, *apart], title="t")).root.iterfind(f".//{NS}g[@class='tl-dense']/{NS}path")
    assert bars.attrib["d"].count("M") == 4


def test_a_client_still_served_keeps_its_level_up_to_now() -> None:
    running = [replace(row, finished_s=None, outcome=None) for row in at_once(2)]
    picture = Picture(draw_lanes(running, now_s=5.0, title="t"))
    assert len(set(middles(picture))) == 2
