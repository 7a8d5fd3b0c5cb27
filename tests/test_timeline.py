"""The timeline and the worker lanes: where the signs stand, what the words say, what untrusted names can do."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET  # we parse our own output
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from webapp.svg import num, shortened, text_width, wrapped
from webapp.timeline import TimelineRow, draw, draw_lanes, responsive, scene_of
from webapp.timeline_frame import stylesheet, tick_label, ticks

NS = "{http://www.w3.org/2000/svg}"

POOL = [
    TimelineRow("conn1", "script", 0, 0.1, 0.1, 0.1, 2.0, "completed", "worker-1"),
    TimelineRow("conn2", "script", 0, 0.1, 0.1, 0.1, 2.0, "completed", "worker-2"),
    TimelineRow("conn3", "script", 0, 0.5, 1.0, 2.0, 4.0, "completed", "worker-1"),
]


class Picture:
    """A parsed drawing, and the way back from pixels to seconds by its own axis."""

    def __init__(self, svg: str) -> None:
        self.svg = svg
        self.root = ET.fromstring(svg)  # noqa: S314
        self.ns = NS if self.root.tag.startswith(NS) else ""
        ticks = [(float(t.attrib["x"]), t.text or "") for t in self.all("text", "tl-tick")]
        (self._x0, first), (x1, second) = ticks[0], ticks[1]
        assert first == "0 s"
        self._scale = (x1 - self._x0) / float(second.removesuffix(" s"))

    def all(self, tag: str, name: str) -> list[ET.Element]:
        return [e for e in self.root.iter(f"{self.ns}{tag}") if name in e.attrib.get("class", "").split()]

    def rows(self) -> list[ET.Element]:
        return self.all("g", "tl-row")

    def texts(self, name: str) -> list[str]:
        return [e.text or "" for e in self.all("text", name)]

    def span_s(self, row: ET.Element, name: str) -> tuple[float, float] | None:
        """From where to where a mark reaches, in seconds; None where the row has none."""
        for path in row.iter(f"{self.ns}path"):
            if path.attrib["class"] == name:
                return self.extent_s(path.attrib["d"])
        return None

    def extent_s(self, d: str) -> tuple[float, float]:
        xs = [(x - self._x0) / self._scale for x in absolute_xs(d)]
        return round(min(xs), 2), round(max(xs), 2)


def absolute_xs(d: str) -> list[float]:
    """Every x that our small set of path commands reaches."""
    x, xs = 0.0, []
    for command, text in re.findall(r"([MHVlhvqmz])([^A-Za-z]*)", d):
        values = [float(value) for value in re.findall(r"-?\d*\.?\d+", text)]
        match command:
            case "M":
                x = values[0]
            case "H":
                x = values[0]
            case "l" | "m":
                for dx in values[::2]:
                    x += dx
                    xs.append(x)
            case "q":
                x += values[2]
        xs.append(x)
    return xs


def many(count: int, *, fail_every: int = 0) -> list[TimelineRow]:
    rows = [
        TimelineRow(f"conn{k}", "script", k * 0.01, k * 0.01, k * 0.01 + 0.2, k * 0.01 + 0.3, k * 0.01 + 1, "completed",
                    f"worker-{k % 5}")
        for k in range(count)
    ]  # fmt: skip
    return [replace(row, outcome="reset") if fail_every and k % fail_every == 0 else row for k, row in enumerate(rows)]


# --- one row -------------------------------------------------------------------------------------------------------


def test_each_phase_stands_where_its_stamps_say() -> None:
    picture = Picture(draw(POOL, title="pool"))
    third = picture.rows()[2]
    assert picture.span_s(third, "tl-connecting") == (0.0, 0.5)
    assert picture.span_s(third, "tl-backlog") == (0.5, 1.0)
    assert picture.span_s(third, "tl-queue") == (1.0, 2.0)
    assert picture.span_s(third, "tl-served") == (2.0, 4.0)
    left, right = picture.span_s(third, "tl-arrival") or (9, 9)
    assert left + right == pytest.approx(0.0, abs=0.02)  # the diamond's middle


def test_a_client_that_did_not_wait_has_no_line_of_waiting() -> None:
    first = Picture(draw(POOL, title="pool")).rows()[0]
    classes = [path.attrib["class"] for path in first.iter(f"{NS}path")]
    assert classes == ["tl-connecting", "tl-served", "tl-arrival"]


def test_rows_keep_their_order_and_names() -> None:
    assert Picture(draw(POOL, title="pool")).texts("tl-name") == ["conn1", "conn2", "conn3"]


def test_bars_say_who_served_and_lines_how_long_the_wait_was() -> None:
    picture = Picture(draw(POOL, title="pool"))
    assert picture.texts("tl-worker") == ["worker-1 · 1.90 s", "worker-2 · 1.90 s", "worker-1 · 2.00 s"]
    assert picture.texts("tl-span") == ["0.50 s", "0.50 s", "1.00 s"]


def test_a_worker_that_does_not_fit_its_bar_stands_beside_it() -> None:
    short = TimelineRow("conn2", "script", 1, 1, 1, 1, 1.02, "completed", "worker-2")
    assert Picture(draw([POOL[0], short], title="t")).texts("tl-beside") == ["worker-2"]


def test_a_failed_client_has_a_cross_and_the_word_where_it_ended() -> None:
    failed = TimelineRow("conn9", "script", 0, 0.1, None, None, 3.0, "timed_out", None)
    picture = Picture(draw([*POOL, failed], title="pool"))
    left, right = picture.span_s(picture.rows()[3], "tl-cross") or (0, 0)
    assert (left + right) / 2 == pytest.approx(3.0, abs=0.02)
    assert picture.texts("tl-outcome") == ["timed out"]
    assert picture.span_s(picture.rows()[3], "tl-backlog") == (0.1, 3.0)
    assert "fails" in picture.texts("tl-legend")


def test_the_word_of_a_failure_at_the_very_end_stays_inside_the_picture() -> None:
    failed = TimelineRow("conn9", "script", 0, 0.1, None, None, 4.0, "timed_out", None)
    picture = Picture(draw([*POOL, failed], title="pool"))
    (word,) = picture.all("text", "tl-outcome")
    assert float(word.attrib["x"]) + text_width("timed out", 11) <= float(picture.root.attrib["width"])


def test_a_client_that_never_began_is_a_crossed_diamond() -> None:
    never = TimelineRow("conn1", "script", 0.5, outcome="not_started")
    row = Picture(draw([never, *POOL], title="t")).rows()[0]
    classes = [path.attrib["class"] for path in row.iter(f"{NS}path")]
    assert classes == ["tl-arrival", "tl-seam", "tl-cross"]


def test_several_groups_have_headings_and_one_has_none() -> None:
    assert Picture(draw(POOL, title="t")).texts("tl-group") == []
    two = [POOL[0], replace(POOL[1], group="second")]
    assert Picture(draw(two, title="t")).texts("tl-group") == ["script", "second"]


@pytest.mark.parametrize("drawing", [draw, draw_lanes])
def test_several_pictures_can_share_an_axis(drawing: Callable[..., str]) -> None:
    picture = Picture(drawing(POOL, horizon_s=20.0, title="t"))
    assert picture.texts("tl-tick")[-1] == "20 s"
    assert picture.span_s(picture.rows()[0], "tl-served") == pytest.approx(
        (0.1, 2.0), abs=0.05
    )  # a hairline parts neighbours
    assert Picture(drawing(POOL, horizon_s=1.0, title="t")).texts("tl-tick")[-1] == "4 s"


# --- a run under way -----------------------------------------------------------------------------------------------


def test_what_has_not_ended_is_drawn_to_now_with_an_open_end() -> None:
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


def test_a_finished_run_has_no_now() -> None:
    assert Picture(draw(POOL, title="t")).texts("tl-now-label") == []


def test_no_clients_yet() -> None:
    picture = Picture(draw([], now_s=0.0, title="t"))
    assert picture.texts("tl-empty") == ["no client yet"]


# --- many rows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "single"), [(200, 200), (201, 0), (2000, 0)])
def test_past_two_hundred_rows_a_path_a_phase_takes_the_place_of_single_rows(count: int, single: int) -> None:
    picture = Picture(draw(many(count), title="t"))
    assert len(picture.rows()) == single
    dense = [path for group in picture.all("g", "tl-dense") for path in group if path.attrib["class"] == "tl-served"]
    assert [path.attrib["d"].count("M") for path in dense] == ([] if single else [count])
    for path in dense:
        assert picture.extent_s(path.attrib["d"]) == pytest.approx((0.3, (count - 1) * 0.01 + 1), abs=0.01)


@pytest.mark.parametrize("count", [201, 1000, 2000, 50_000])
def test_a_picture_of_very_many_stays_on_a_screen_or_two(count: int) -> None:
    picture = Picture(draw(many(count), title="t"))
    assert float(picture.root.attrib["height"]) < 1100
    assert len(picture.svg) < 400_000


def test_names_never_touch_one_another() -> None:
    picture = Picture(draw(many(1000), title="t"))
    ys = [float(name.attrib["y"]) for name in picture.all("text", "tl-name")]
    assert len(ys) > 10
    assert min(b - a for a, b in pairwise(ys)) >= 15


def test_past_two_thousand_the_picture_says_what_a_line_stands_for() -> None:
    assert Picture(draw(many(2000), title="t")).texts("tl-note") == []
    picture = Picture(draw(many(12_000), title="t"))
    assert "12,000 clients: a line stands for 12 neighbours" in " ".join(picture.texts("tl-note"))
    (served,) = (p for p in picture.all("g", "tl-dense")[0] if p.attrib["class"] == "tl-served")
    assert served.attrib["d"].count("M") == 1000


def test_aggregation_never_hides_a_failure() -> None:
    one_failed = many(12_000)
    one_failed[7777] = replace(one_failed[7777], outcome="corrupted")
    dense = Picture(draw(one_failed, title="t")).all("g", "tl-dense")[0]
    (crosses,) = (p.attrib["d"] for p in dense if p.attrib["class"] == "tl-cross")
    assert crosses.count("M") == 1


# --- the document --------------------------------------------------------------------------------------------------

HOSTILE = "</text><script>alert(1)</script>\x00\ud800\"'&"


@pytest.mark.parametrize("drawing", [draw, draw_lanes])
@pytest.mark.parametrize("count", [1, 250])
def test_names_cannot_break_out(drawing: object, count: int) -> None:
    assert callable(drawing)
    rows = [TimelineRow(HOSTILE, HOSTILE, 0, 0, 0, 0, 1, HOSTILE, HOSTILE)] * count
    root = ET.fromstring(drawing(rows, title=HOSTILE))  # noqa: S314
    assert not list(root.iter(f"{NS}script"))


@pytest.mark.parametrize("rows", [POOL, many(300, fail_every=7)], ids=["few", "many"])
@pytest.mark.parametrize("drawing", ["rows", "lanes"])
def test_embedded_it_needs_no_inline_style(rows: Sequence[TimelineRow], drawing: str) -> None:
    svg = (draw_lanes if drawing == "lanes" else draw)(rows, title="t", embedded=True)
    root = ET.fromstring(svg)  # noqa: S314
    assert not list(root.iter("style"))
    assert not [e for e in root.iter() if "style" in e.attrib or any(name.startswith("on") for name in e.attrib)]
    assert "viewBox" in root.attrib
    assert "width" not in root.attrib


def test_a_file_of_its_own_brings_style_paper_size_and_title() -> None:
    picture = Picture(draw(POOL, title="Two workers"))
    (style,) = picture.root.iter(f"{NS}style")
    assert stylesheet() in (style.text or "")
    assert "prefers-color-scheme: dark" in (style.text or "")
    assert picture.all("rect", "tl-paper")
    assert picture.texts("tl-title") == ["Two workers"]
    assert picture.root.attrib["width"] == "1040"


@pytest.mark.parametrize("embedded", [True, False])
def test_those_who_cannot_see_it_get_a_name_and_a_sentence(embedded: bool) -> None:
    svg = draw(POOL, title="Two workers", embedded=embedded)
    root = ET.fromstring(svg)  # noqa: S314
    assert root.attrib["role"] == "img"
    assert [child.text for child in list(root)[:2]] == [
        "Two workers",
        "3 clients over 4.00 s: 3 completed. At most 2 served at once.",
    ]


def test_every_class_of_the_drawings_is_in_the_stylesheet() -> None:
    rows = [*POOL, TimelineRow("x", "other", 0, 0.1, None, None, 3.0, "reset", None),
            TimelineRow("y", "other", 3.9, 3.9, 3.9, 3.9, 3.901, "completed", "w")]  # fmt: skip
    svg = (
        draw(rows, now_s=4, title="t") + draw(many(300), title="t") + draw(many(3000), title="t") + draw([], title="t")
    )
    used = {name for names in re.findall(r'class="([^"]+)"', svg) for name in names.split()}
    unruled = {"tl-row", "timeline--rows"}  # handles for the page's script, nothing to look at
    assert {name for name in used - unruled if f".{name}" not in stylesheet()} == set()


def test_two_widths_are_drawn_for_a_page() -> None:
    pair = ET.fromstring(responsive(scene_of(POOL), "t"))  # noqa: S314
    assert pair.attrib["class"] == "timeline-set"
    assert [svg.attrib["viewBox"].split()[2] for svg in pair] == ["1040", "380"]


# --- worker lanes --------------------------------------------------------------------------------------------------


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


def test_before_the_run_begins_there_is_a_picture_already() -> None:
    early = TimelineRow("conn1", "script", -0.2, None, None, None, None, None)
    assert Picture(draw([early], now_s=-0.1, title="t")).texts("tl-name") == ["conn1"]


# --- the small pieces ----------------------------------------------------------------------------------------------


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


def test_texts_are_cut_and_wrapped_to_the_room() -> None:
    cut = shortened("a very long name of a client", 12, 80)
    assert cut.endswith("…")
    assert text_width(cut, 12) <= 80
    lines = wrapped("one two three four five six", 12, 70)
    assert " ".join(lines) == "one two three four five six"
    assert len(lines) > 1
