"""The chart renderer with small programs as helper process, and once with the real one."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from webapp.charts.rendering.file_cache import FileCache, cache_key
from webapp.charts.rendering.renderer import ChartRenderer
from webapp.problems import Problem, Unavailable

SPEC = {"mark": "bar"}
DONE = "print(json.dumps({'done': base64.b64encode(str(os.getpid()).encode()).decode()}), flush=True)"
WILLING = f"for line in sys.stdin: {DONE}"  # answers with its own pid
STUCK = "import time\nfor line in sys.stdin: time.sleep(600)"
UNABLE = "for line in sys.stdin: print(json.dumps({'error': 'no such mark'}), flush=True)"
BRIEF = f"sys.stdin.readline(); {DONE}"  # ends after its first answer
DYING = "sys.stdin.readline(); os._exit(3)"
DEADLINE_S = 30.0

Make = Callable[..., ChartRenderer]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Return a factory of renderers whose helper runs the given program; close them after the test."""
    made = []

    def renderer(
        program: str,
        *,
        is_busy: Callable[[], bool] = lambda: False,
        deadline_s: float = DEADLINE_S,
        idle_s: float = 60.0,
    ) -> ChartRenderer:
        command = [sys.executable, "-c", f"import base64, json, os, sys\n{program}"]
        folders = tmp_path / "images", tmp_path / "bundles"
        made.append(ChartRenderer(*folders, is_busy, command=command, deadline_s=deadline_s, idle_s=idle_s))
        return made[-1]

    yield renderer
    for one in made:
        one.close()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_process_renders_all_images(make: Make) -> None:
    charts = make(WILLING)
    assert charts.svg(SPEC) == charts.svg({"mark": "line"})


def test_cached_image_needs_no_process(make: Make) -> None:
    drawn = make(WILLING).svg(SPEC)
    during_a_run = make(DYING, is_busy=lambda: True)
    assert during_a_run.svg(SPEC) == drawn
    with pytest.raises(Unavailable, match="queued or in progress") as refused:
        during_a_run.png(SPEC)
    assert int(refused.value.headers["Retry-After"]) > 0


def test_run_ends_process_during_an_image(make: Make) -> None:
    is_busy, refusals = threading.Event(), []
    charts = make(STUCK, is_busy=is_busy.is_set, deadline_s=60)

    def draw() -> None:
        with pytest.raises(Unavailable, match="in progress") as refused:
            charts.svg(SPEC)
        refusals.append(refused.value)

    thread = threading.Thread(target=draw)
    thread.start()
    is_busy.set()
    while thread.is_alive():  # its process may not have started yet
        charts.end_process()
        thread.join(0.01)
    assert len(refusals) == 1


def test_stuck_process_is_replaced(make: Make, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    stuck_once = (
        f"import pathlib, time\nf = pathlib.Path({str(flag)!r})\nif not f.exists(): f.touch(); time.sleep(600)\n"
    )
    charts = make(stuck_once + WILLING, deadline_s=1.0)
    with pytest.raises(Unavailable, match="longer than 1 s"):
        charts.svg(SPEC)
    flag.touch()
    assert int(charts.svg(SPEC)) > 0


def test_ended_process_is_replaced(make: Make) -> None:
    charts = make(BRIEF)
    assert charts.svg(SPEC) != charts.png(SPEC).decode()
    with pytest.raises(Unavailable, match="unexpectedly"):
        make(DYING).svg({"mark": "area"})


def test_last_output_of_the_process_is_logged(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Unavailable, match="unexpectedly"):
        make(f"print('no fonts', file=sys.stderr); {DYING}").svg(SPEC)
    assert "ended with exit code 3; its last output: no fonts" in caplog.text


def test_failed_image_is_not_cached(make: Make) -> None:
    with pytest.raises(Problem, match="could not be rendered"):
        make(UNABLE).svg(SPEC)
    assert make(WILLING).svg(SPEC)


def test_idle_process_is_ended(make: Make) -> None:
    charts = make(WILLING, idle_s=0.05)
    pid = int(charts.svg(SPEC))
    for thread in threading.enumerate():
        if thread.name == "charts idle":
            thread.join(DEADLINE_S)
    assert not is_alive(pid)


def test_closed_renderer_has_no_process(make: Make) -> None:
    charts = make(WILLING)
    pid = int(charts.svg(SPEC))
    charts.close()
    assert not is_alive(pid)
    with pytest.raises(Unavailable, match="closing"):
        charts.png(SPEC)


def test_labs_share_the_chart_script(make: Make) -> None:
    first = make(WILLING)
    first.prepare()
    assert first.bundle() == make(DYING).bundle()


def test_cache_removes_least_recently_used(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, max_bytes=25)
    for number, key in enumerate("abc"):
        cache.put(key, b"ten bytes!")
        if key in "ab":
            os.utime(tmp_path / key, (number, number))
    assert [cache.get(key) for key in "abc"] == [None, b"ten bytes!", b"ten bytes!"]


def test_unwritable_cache_only_misses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = FileCache(tmp_path / "file" / "folder", max_bytes=100)
    cache.put("a", b"picture")
    assert cache.get("a") is None


def test_cache_keys_differ_by_request() -> None:
    assert len({cache_key(request) for request in ({"do": "svg"}, {"do": "png"}, {"do": "svg", "spec": {}})}) == 3
    assert cache_key({"a": 1, "b": 2}) == cache_key({"b": 2, "a": 1})


def test_real_process_ends_with_its_lifeline(tmp_path: Path) -> None:
    charts = ChartRenderer(tmp_path / "images", tmp_path / "bundles", lambda: False)
    spec = {"data": {"values": [{"a": 1}]}, "mark": "bar", "encoding": {"x": {"field": "a", "type": "quantitative"}}}
    try:
        svg = charts.svg(spec)
        assert svg.startswith("<svg")
        assert "#fcfdfc" in svg
        assert charts.png_of_svg(svg).startswith(b"\x89PNG")
        process = charts._process
        assert process is not None
        process._child.close_stdin()  # as the kernel does when the lab is killed
        ending = process._child.wait(DEADLINE_S)
        assert ending is not None
        assert ending.code == 0
    finally:
        charts.close()
