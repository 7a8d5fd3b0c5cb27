"""Parts of the timeline and of the worker lanes: their rows, and the facts about each connection."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # parses only the project's own output
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from coreserver.reports.timeline_rows import TimelineRow, timeline_rows
from tests.support.drawings import POOL, absolute_xs, many
from tests.support.fake_lab import article_connections
from webapp.problems import Invalid
from webapp.schemas.timeline_part import TimelinePicture, TimelineQuery
from webapp.timeline.drawing import draw, draw_lanes
from webapp.timeline.explorer import COLUMNS, PARTS, picture
from webapp.timeline.viewport import View


def explored(clients: list[TimelineRow], *, lanes: bool = False, **asked: Any) -> TimelinePicture:
    return picture(clients, None, TimelineQuery.model_validate(asked), lanes=lanes, title="t")


def column(found: TimelinePicture, name: str) -> list[Any]:
    return [connection[COLUMNS.index(name)] for connection in found.connections]


# --- time ----------------------------------------------------------------------------------------------------------


def test_span_selects_axis_and_rows() -> None:
    later = TimelineRow("later", "script", 3.5, 3.5, 3.5, 3.5, 4.0, "completed", "worker-2")
    svg = draw([*POOL, later], view=View(from_s=2.5, to_s=3.0), title="t")
    assert ">2.5 s<" in svg
    assert ">3 s<" in svg
    assert ">conn3<" in svg
    for absent in ("conn1", "later"):
        assert f">{absent}<" not in svg
    assert "1 of 4 clients." in svg


@pytest.mark.parametrize("rows", [POOL, [*POOL, *many(300)]], ids=["single", "dense"])
@pytest.mark.parametrize("drawing", [draw, draw_lanes])
def test_marks_end_at_the_edges_of_the_span(drawing: object, rows: list[TimelineRow]) -> None:
    assert callable(drawing)
    root = ET.fromstring(drawing(rows, view=View(from_s=1.5, to_s=3.0), title="t", embedded=True))  # noqa: S314
    left, right, top, bottom, *shown_s = map(float, root.attrib["data-plot"].split())
    assert top < bottom
    assert shown_s == [1.5, 3.0]
    marks = [absolute_xs(path.attrib["d"]) for path in root.findall("./g/path") if path.get("class") == "tl-served"]
    marks = [xs for xs in marks if max(xs) > 26]  # not in the legend
    assert marks
    for xs in marks:
        assert left - 1 <= min(xs) < max(xs) <= right + 2


def test_clipped_wait_shows_its_duration() -> None:
    svg = draw(POOL, view=View(from_s=1.5, to_s=3.0), title="t")
    assert ">1.00 s<" in svg


def test_now_line_is_drawn_within_the_span() -> None:
    assert 'tl-now-label"' in draw(POOL, now_s=3.0, view=View(from_s=2.0), title="t")
    assert 'tl-now-label"' not in draw(POOL, now_s=3.0, view=View(to_s=2.0), title="t")


# --- rows ----------------------------------------------------------------------------------------------------------


def test_few_of_many_rows_are_single() -> None:
    whole = explored(many(20_000))
    assert (whole.total, whole.rows, len(whole.connections)) == (20_000, 20_000, 1000)
    assert set(column(whole, "stands_for")) == {20}
    part = explored(many(20_000), first=4000, rows=12)
    assert column(part, "name") == [f"conn{k}" for k in range(4000, 4012)]
    assert column(part, "place") == [*range(4000, 4012)]
    assert (part.first, part.rows, part.remark) == (4000, 12, "12 of 20,000 clients.")
    assert ">conn4003<" in part.drawing
    assert len(part.drawing) < 60_000


def test_rows_and_span_combine() -> None:
    part = explored(many(20_000), first=4000, rows=500, from_s=42.0, to_s=42.5)
    assert column(part, "name") == [f"conn{k}" for k in range(4100, 4251)]  # each of them lasts one second
    assert (part.from_s, part.to_s) == (42.0, 42.5)


def test_range_past_the_end_is_clipped() -> None:
    assert explored(many(10), first=8, rows=100).rows == 2


def test_lanes_can_be_limited_too() -> None:
    part = explored(many(1000), lanes=True, first=1, rows=2, from_s=3.0, to_s=3.1)
    assert (part.of, part.total, part.first, part.rows) == ("lanes", 5, 1, 2)
    assert set(column(part, "worker")) == {"worker-1", "worker-2"}
    assert max(column(part, "from_s")) <= 3.1
    assert min(column(part, "to_s")) >= 3.0
    assert {place for _, place in part.lines} == {1, 2}
    assert part.remark.startswith("2 of 5 workers.")


def test_very_many_connections_have_no_areas() -> None:
    assert explored(many(3000), lanes=True).connections == []
    assert len(explored(many(3000), lanes=True, from_s=5.0, to_s=6.0).connections) > 100


def test_idle_worker_has_an_empty_lane() -> None:
    part = explored(POOL, lanes=True, from_s=3.0)
    assert column(part, "name") == ["conn3"]
    assert ">worker-2<" in part.drawing


def test_alternating_groups_have_no_headings() -> None:
    mixed = [replace(row, group=str(k % 2)) for k, row in enumerate(many(6))]
    assert "tl-group" not in draw(mixed, title="t", embedded=True)


# --- parts ---------------------------------------------------------------------------------------------------------


def test_connections_have_the_parts_of_their_time() -> None:
    joined = article_connections()
    found = explored(timeline_rows(joined, 0))
    assert column(found, "queue_ms") == [0.5, 0.5, 2201.5]
    for part in ("lateness_ms", "greeting_ms"):
        assert column(found, part) == [0.0] * 3
    spent = [sum(column(found, f"{part}_ms")[k] for part in PARTS) for k in range(3)]
    ends = [(one.client.closed_ns or 0) / 1e6 for one in joined]
    assert spent == pytest.approx(ends)


def test_rows_without_stamps_have_no_parts() -> None:
    assert column(explored(POOL), "session_ms") == [None] * 3


# --- invalid parts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "field"),
    [({"from_s": 2.0, "to_s": 2.0}, "to_s"), ({"rows": 0}, "rows"), ({"first": -1}, "first"), ({"width": 3}, "width")],
)
def test_invalid_view_is_refused(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TimelineQuery.model_validate(asked)
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]


@pytest.mark.parametrize(("asked", "field"), [({"first": 3}, "first"), ({"from_s": 4.0}, "from_s")])
def test_part_outside_of_the_run_is_refused(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        explored(POOL, **asked)
    assert [error.field for error in refused.value.errors] == [field]
