"""The worker lanes: one lane per worker, with levels for connections served at the same time."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # parses only the project's own output
from dataclasses import replace
from itertools import pairwise

import pytest

from coreserver.reports.timeline_rows import TimelineRow
from tests.support.drawings import NS, POOL, Picture
from webapp.timeline.drawing import draw_lanes


def test_lanes_have_a_bar_per_connection() -> None:
    picture = Picture(draw_lanes(POOL, title="workers"))
    assert picture.texts("tl-name") == ["worker-1", "worker-2"]
    assert picture.texts("tl-worker") == ["conn1", "conn3", "conn2"]
    spans = [picture.span_s(row, "tl-served") for row in picture.rows()]
    assert spans == [(0.1, 2.0), (2.0, 4.0), (0.1, 2.0)]


def test_lanes_are_in_natural_order() -> None:
    rows = [replace(POOL[0], worker=f"worker-{k}") for k in (10, 2, 1)]
    assert Picture(draw_lanes(rows, title="t")).texts("tl-name") == ["worker-1", "worker-2", "worker-10"]


def test_unserved_clients_are_counted() -> None:
    waiting = TimelineRow("conn4", "script", 0, 0.1, None, None, 3.0, "timed_out", None)
    root = ET.fromstring(draw_lanes([*POOL, waiting], title="t"))  # noqa: S314
    assert list(root)[1].text == (
        "2 workers served 3 clients; worker-1 served the most, 2. Not shown: 1 client that no worker served."
    )


def test_remark_explains_omitted_workers() -> None:
    rows = [replace(POOL[0], worker=f"client-{k}") for k in range(5000)]
    assert Picture(draw_lanes(rows, title="t")).texts("tl-note") == ["5,000 workers: one of 5 is drawn."]


def at_once(count: int, worker: str = "loop") -> list[TimelineRow]:
    """Return clients that one worker serves at the same time; each starts 10 ms after the previous one."""
    return [TimelineRow(f"c{k}", "g", 0, 0, 0, 0.01 * k, 2.0, "completed", worker) for k in range(count)]


def middles(picture: Picture) -> list[float]:
    """Return the y of each bar; a path begins at its upper edge."""
    paths = [path for row in picture.rows() for path in row.iter(f"{NS}path") if path.get("class") == "tl-served"]
    return [float(path.attrib["d"].split()[1].split("H")[0]) for path in paths]


def test_concurrent_services_get_levels() -> None:
    later = TimelineRow("later", "g", 0, 0, 0, 2.0, 3.0, "completed", "loop")
    picture = Picture(draw_lanes([*at_once(3), later], title="t"))
    assert picture.texts("tl-name") == ["loop"]
    assert picture.texts("tl-worker") == ["c0", "later", "c1", "c2"]  # the upper level is free again at 2 s
    first, after, second, third = middles(picture)
    assert first == after < second < third
    assert picture.texts("tl-note") == []


def test_workers_are_named_at_their_middle() -> None:
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
        (at_once(100), ["The drawing shows at most 96 clients per worker at a time; 4 are left out."]),
        (
            [row for k in range(200) for row in at_once(2, f"w{k}")],
            ["The drawing shows at most one client per worker at a time; 200 are left out."],
        ),
    ],
)
def test_number_of_levels_is_limited(rows: list[TimelineRow], words: list[str]) -> None:
    assert " ".join(Picture(draw_lanes(rows, title="t")).texts("tl-note")) == " ".join(words)


def test_clients_without_a_level_are_counted() -> None:
    root = ET.fromstring(draw_lanes(at_once(100), title="t"))  # noqa: S314
    assert list(root)[1].text == "1 worker served 100 clients; loop served the most, 100."


def test_touching_bars_are_merged() -> None:
    row = replace(POOL[0], worker="loop")
    busy = [replace(row, started_s=0.001 * k, finished_s=0.001 * (k + 1)) for k in range(3000)]
    apart = [replace(row, started_s=4.0 + 0.1 * k, finished_s=4.05 + 0.1 * k) for k in range(3)]
    (bars,) = Picture(draw_lanes([*busy, *apart], title="t")).root.iterfind(f".//{NS}g[@class='tl-dense']/{NS}path")
    assert bars.attrib["d"].count("M") == 4


def test_unfinished_service_keeps_its_level() -> None:
    running = [replace(row, finished_s=None, outcome=None) for row in at_once(2)]
    picture = Picture(draw_lanes(running, now_s=5.0, title="t"))
    assert len(set(middles(picture))) == 2
