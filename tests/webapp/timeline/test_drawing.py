"""The timeline: positions of marks, texts, and untrusted names."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET  # parses only the project's own output
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.support.drawings import NS, POOL, Picture, many
from webapp.timeline.drawing import TimelineRow, draw, draw_lanes, make_scene, paint_responsive
from webapp.timeline.frame import stylesheet, tick_label, ticks
from webapp.timeline.svg import num, shorten, text_width, wrap

# --- one row -------------------------------------------------------------------------------------------------------


def test_phases_match_their_stamps() -> None:
    picture = Picture(draw(POOL, title="pool"))
    third = picture.rows()[2]
    assert picture.span_s(third, "tl-connecting") == (0.0, 0.5)
    assert picture.span_s(third, "tl-backlog") == (0.5, 1.0)
    assert picture.span_s(third, "tl-queue") == (1.0, 2.0)
    assert picture.span_s(third, "tl-served") == (2.0, 4.0)
    left, right = picture.span_s(third, "tl-arrival") or (9, 9)
    assert left + right == pytest.approx(0.0, abs=0.02)  # centre of the diamond


def test_no_wait_has_no_line() -> None:
    first = Picture(draw(POOL, title="pool")).rows()[0]
    classes = [path.attrib["class"] for path in first.iter(f"{NS}path")]
    assert classes == ["tl-connecting", "tl-served", "tl-arrival"]


def test_rows_keep_their_order_and_names() -> None:
    assert Picture(draw(POOL, title="pool")).texts("tl-name") == ["conn1", "conn2", "conn3"]


def test_marks_name_workers_and_durations() -> None:
    picture = Picture(draw(POOL, title="pool"))
    assert picture.texts("tl-worker") == ["worker-1 · 1.90 s", "worker-2 · 1.90 s", "worker-1 · 2.00 s"]
    assert picture.texts("tl-span") == ["0.50 s", "0.50 s", "1.00 s"]


def test_long_worker_name_is_next_to_its_bar() -> None:
    short = TimelineRow("conn2", "script", 1, 1, 1, 1, 1.02, "completed", "worker-2")
    assert Picture(draw([POOL[0], short], title="t")).texts("tl-beside") == ["worker-2"]


def test_failure_has_a_cross_and_an_outcome() -> None:
    failed = TimelineRow("conn9", "script", 0, 0.1, None, None, 3.0, "timed_out", None)
    picture = Picture(draw([*POOL, failed], title="pool"))
    left, right = picture.span_s(picture.rows()[3], "tl-cross") or (0, 0)
    assert (left + right) / 2 == pytest.approx(3.0, abs=0.02)
    assert picture.texts("tl-outcome") == ["timed out"]
    assert picture.span_s(picture.rows()[3], "tl-backlog") == (0.1, 3.0)
    assert "failure" in picture.texts("tl-legend")


def test_late_failure_text_is_not_cut() -> None:
    failed = TimelineRow("conn9", "script", 0, 0.1, None, None, 4.0, "timed_out", None)
    picture = Picture(draw([*POOL, failed], title="pool"))
    (word,) = picture.all("text", "tl-outcome")
    assert float(word.attrib["x"]) + text_width("timed out", 11) <= float(picture.root.attrib["width"])


def test_unstarted_client_is_a_crossed_diamond() -> None:
    never = TimelineRow("conn1", "script", 0.5, outcome="not_started")
    row = Picture(draw([never, *POOL], title="t")).rows()[0]
    classes = [path.attrib["class"] for path in row.iter(f"{NS}path")]
    assert classes == ["tl-arrival", "tl-seam", "tl-cross"]


def test_several_groups_have_headings() -> None:
    assert Picture(draw(POOL, title="t")).texts("tl-group") == []
    two = [POOL[0], replace(POOL[1], group="second")]
    assert Picture(draw(two, title="t")).texts("tl-group") == ["script", "second"]


@pytest.mark.parametrize("drawing", [draw, draw_lanes])
def test_drawings_can_share_an_axis(drawing: Callable[..., str]) -> None:
    picture = Picture(drawing(POOL, horizon_s=20.0, title="t"))
    assert picture.texts("tl-tick")[-1] == "20 s"
    assert picture.span_s(picture.rows()[0], "tl-served") == pytest.approx(
        (0.1, 2.0), abs=0.05
    )  # a gap separates neighbours
    assert Picture(drawing(POOL, horizon_s=1.0, title="t")).texts("tl-tick")[-1] == "4 s"


# --- a run in progress ---------------------------------------------------------------------------------------------


def test_unfinished_row_ends_open_at_now() -> None:
    rows = [
        POOL[0],
        TimelineRow("serving", "script", 0, 0.1, 0.1, 0.5, worker="worker-2"),
        TimelineRow("queued", "script", 0, 0.1, 1.0),
        TimelineRow("backlog", "script", 0, 0.1),
        TimelineRow("connecting", "script", 0),
        TimelineRow("to come", "script", 4.0),
    ]
    picture = Picture(draw(rows, now_s=3.0, title="live"))
    _, serving, queued, backlog, connecting, to_come = picture.rows()
    assert picture.span_s(serving, "tl-served") == (0.5, 3.0)
    assert picture.span_s(queued, "tl-queue") == (1.0, 3.0)
    assert picture.span_s(backlog, "tl-backlog") == (0.1, 3.0)
    assert picture.span_s(connecting, "tl-connecting") == (0.0, 3.0)
    assert [path.attrib["class"] for path in to_come.iter(f"{NS}path")] == ["tl-arrival"]
    (open_bar,) = [p.attrib["d"] for p in serving.iter(f"{NS}path") if p.attrib["class"] == "tl-served"]
    (ended_bar,) = [p.attrib["d"] for p in picture.rows()[0].iter(f"{NS}path") if p.attrib["class"] == "tl-served"]
    assert (open_bar.count("q"), ended_bar.count("q")) == (2, 4)  # rounded corners: none at the open end
    assert picture.texts("tl-now-label") == ["now"]


def test_finished_run_has_no_now_line() -> None:
    assert Picture(draw(POOL, title="t")).texts("tl-now-label") == []


def test_drawing_without_clients() -> None:
    picture = Picture(draw([], now_s=0.0, title="t"))
    assert picture.texts("tl-empty") == ["no clients yet"]


def test_drawing_before_the_run_begins() -> None:
    early = TimelineRow("conn1", "script", -0.2, None, None, None, None, None)
    assert Picture(draw([early], now_s=-0.1, title="t")).texts("tl-name") == ["conn1"]


# --- many rows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "single"), [(200, 200), (201, 0), (2000, 0)])
def test_many_rows_are_one_path_per_phase(count: int, single: int) -> None:
    picture = Picture(draw(many(count), title="t"))
    assert len(picture.rows()) == single
    dense = [path for group in picture.all("g", "tl-dense") for path in group if path.attrib["class"] == "tl-served"]
    assert [path.attrib["d"].count("M") for path in dense] == ([] if single else [count])
    for path in dense:
        assert picture.extent_s(path.attrib["d"]) == pytest.approx((0.3, (count - 1) * 0.01 + 1), abs=0.01)


@pytest.mark.parametrize("count", [201, 1000, 2000, 50_000])
def test_height_of_many_rows_is_limited(count: int) -> None:
    picture = Picture(draw(many(count), title="t"))
    assert float(picture.root.attrib["height"]) < 1100
    assert len(picture.svg) < 400_000


def test_names_do_not_overlap() -> None:
    picture = Picture(draw(many(1000), title="t"))
    ys = [float(name.attrib["y"]) for name in picture.all("text", "tl-name")]
    assert len(ys) > 10
    assert min(b - a for a, b in pairwise(ys)) >= 15


def test_remark_explains_combined_rows() -> None:
    assert Picture(draw(many(2000), title="t")).texts("tl-note") == []
    picture = Picture(draw(many(12_000), title="t"))
    assert "12,000 clients: each line represents 12 neighbours" in " ".join(picture.texts("tl-note"))
    (served,) = (p for p in picture.all("g", "tl-dense")[0] if p.attrib["class"] == "tl-served")
    assert served.attrib["d"].count("M") == 1000


def test_combined_rows_show_failures() -> None:
    one_failed = many(12_000)
    one_failed[7777] = replace(one_failed[7777], outcome="corrupted")
    dense = Picture(draw(one_failed, title="t")).all("g", "tl-dense")[0]
    (crosses,) = (p.attrib["d"] for p in dense if p.attrib["class"] == "tl-cross")
    assert crosses.count("M") == 1


# --- the document --------------------------------------------------------------------------------------------------

HOSTILE = "</text><script>alert(1)</script>\x00\ud800\"'&"


@pytest.mark.parametrize("drawing", [draw, draw_lanes])
@pytest.mark.parametrize("count", [1, 250])
def test_names_are_escaped(drawing: object, count: int) -> None:
    assert callable(drawing)
    rows = [TimelineRow(HOSTILE, HOSTILE, 0, 0, 0, 0, 1, HOSTILE, HOSTILE)] * count
    root = ET.fromstring(drawing(rows, title=HOSTILE))  # noqa: S314
    assert not list(root.iter(f"{NS}script"))


@pytest.mark.parametrize("rows", [POOL, many(300, fail_every=7)], ids=["few", "many"])
@pytest.mark.parametrize("drawing", ["rows", "lanes"])
def test_embedded_drawing_has_no_inline_style(rows: Sequence[TimelineRow], drawing: str) -> None:
    svg = (draw_lanes if drawing == "lanes" else draw)(rows, title="t", embedded=True)
    root = ET.fromstring(svg)  # noqa: S314
    assert not list(root.iter("style"))
    assert not [e for e in root.iter() if "style" in e.attrib or any(name.startswith("on") for name in e.attrib)]
    assert "viewBox" in root.attrib
    assert "width" not in root.attrib


def test_file_contains_its_styles() -> None:
    picture = Picture(draw(POOL, title="Two workers"))
    (style,) = picture.root.iter(f"{NS}style")
    assert stylesheet() in (style.text or "")
    assert "prefers-color-scheme: dark" in (style.text or "")
    assert picture.all("rect", "tl-paper")
    assert picture.texts("tl-title") == ["Two workers"]
    assert picture.root.attrib["width"] == "1040"


@pytest.mark.parametrize("embedded", [True, False])
def test_drawing_has_accessible_texts(embedded: bool) -> None:
    svg = draw(POOL, title="Two workers", embedded=embedded)
    root = ET.fromstring(svg)  # noqa: S314
    assert root.attrib["role"] == "img"
    assert [child.text for child in list(root)[:2]] == [
        "Two workers",
        "3 clients over 4.00 s: 3 completed. At most 2 served at once.",
    ]


def test_stylesheet_has_every_class() -> None:
    rows = [*POOL, TimelineRow("x", "other", 0, 0.1, None, None, 3.0, "reset", None),
            TimelineRow("y", "other", 3.9, 3.9, 3.9, 3.9, 3.901, "completed", "w")]  # fmt: skip
    svg = (
        draw(rows, now_s=4, title="t") + draw(many(300), title="t") + draw(many(3000), title="t") + draw([], title="t")
    )
    used = {name for names in re.findall(r'class="([^"]+)"', svg) for name in names.split()}
    unruled = {"tl-row", "timeline--rows"}  # for scripts of the page, without styles
    assert {name for name in used - unruled if f".{name}" not in stylesheet()} == set()


def test_page_gets_two_widths() -> None:
    pair = ET.fromstring(paint_responsive(make_scene(POOL), "t"))  # noqa: S314
    assert pair.attrib["class"] == "timeline-set"
    assert [svg.attrib["viewBox"].split()[2] for svg in pair] == ["1040", "380"]


# --- texts and numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("horizon_s", "most", "expected"),
    [
        (6.6, 12, [0, 1, 2, 3, 4, 5, 6]),
        (2.2, 12, [0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2]),
        (4.4, 3, [0, 2, 4]),
        (0.012, 5, [0, 0.005, 0.01]),
        (600, 10, [0, 100, 200, 300, 400, 500, 600]),
    ],
)
def test_ticks_are_round(horizon_s: float, most: int, expected: list[float]) -> None:
    assert ticks(horizon_s, most) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("at_s", "step_s", "label"), [(2.0, 1.0, "2 s"), (0.30000000000000004, 0.1, "0.3 s"), (0.005, 0.005, "5 ms")]
)
def test_tick_labels(at_s: float, step_s: float, label: str) -> None:
    assert tick_label(at_s, step_s) == label


@pytest.mark.parametrize(
    ("value", "text"), [(3.0, "3"), (3.10, "3.1"), (0.126, "0.13"), (100.0, "100"), (-1.5, "-1.5")]
)
def test_coordinates_are_short(value: float, text: str) -> None:
    assert num(value) == text


def test_texts_are_shortened_and_wrapped() -> None:
    cut = shorten("a very long name of a client", 12, 80)
    assert cut.endswith("…")
    assert text_width(cut, 12) <= 80
    lines = wrap("one two three four five six", 12, 70)
    assert " ".join(lines) == "one two three four five six"
    assert len(lines) > 1
