"""Lanes, squares and sparklines of the page of a server, from records made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from coreserver.clock import NS_PER_S
from coreserver.models import MODELS
from coreserver.records.samples import Sample
from coreserver.records.server import ConnectionRecord, ServerOutcome
from tests.support.fake_lab import FakeLab
from tests.support.servers import server_config
from webapp.formatting import age
from webapp.lab.server_snapshot import Look, Seen
from webapp.live.sparklines import area_under, line, nice_top, sample_rows, server_sparklines
from webapp.live.worker_lanes import MAX_LANES, busy_path, busy_spans, list_lanes
from webapp.pages.server import squares

NOW = 1_000 * NS_PER_S


def record(
    number: int, worker: str | None, started_s: float = 990, finished_s: float | None = None
) -> ConnectionRecord:
    started = int(started_s * NS_PER_S)
    return ConnectionRecord(
        number,
        ("127.0.0.1", 50_000 + number),
        started,
        started if worker else None,
        int(finished_s * NS_PER_S) if finished_s else None,
        worker,
        ServerOutcome.COMPLETED if finished_s else None,
    )


def look(
    model: str,
    open_: list[ConnectionRecord],
    alive: int,
    busy: int | None,
    *,
    ended: tuple[ConnectionRecord, ...] = (),
    state: str = "listening",
    **options: Any,
) -> Look:
    server = FakeLab().add_server(model, **options)
    assert server.stats is not None
    stats = server.stats.model_copy(update={"threads_alive": alive, "threads_busy": busy})
    server = server.model_copy(update={"stats": stats, "state": state})
    design = MODELS[model]
    config = server_config(model, **options)
    return Look(
        NOW,
        server,
        open=tuple(open_),
        ended=ended,
        worker_names=design.worker_names(config),
        support_threads=design.support_threads,
        max_threads=design.max_threads(config),
    )


@pytest.mark.parametrize(
    ("seen", "lanes"),
    [
        (look("sequential", [], 1, 0), ["acceptor accepts"]),
        (look("sequential", [record(1, "acceptor")], 1, 1), ["acceptor serves"]),
        (look("bounded_pool", [record(1, "worker-2")], 3, 1), ["acceptor accepts", "worker-1 idle", "worker-2 serves"]),
        (look("bounded_pool", [record(2, None)], 2, 0), ["acceptor accepts", "worker-1 idle"]),
        (look("elastic_pool", [record(1, "worker-1")], 3, 1), ["acceptor accepts", "worker-1 serves"]),  # and a scaler
        (look("elastic_pool", [], 6, 0), ["acceptor accepts", *(f"worker-{n} idle" for n in (1, 2, 3, 4))]),
        (look("sequential", [record(1, "acceptor")], 1, 1, state="draining"), ["acceptor serves"]),
        (look("sequential", [], 1, 0, state="draining"), []),
        (look("thread_per_client", [record(7, "client-7")], 1, 1, state="draining"), ["client-7 serves"]),
        (look("bounded_pool", [record(1, "worker-1")], 2, 1, state="draining", workers=1), ["worker-1 serves"]),
        (look("executor_pool", [], 1, 0), ["acceptor accepts"]),  # it starts workers when they are needed
        (look("thread_per_client", [record(7, "client-7")], 2, 1), ["acceptor accepts", "client-7 serves"]),
        (look("thread_per_client", [], 2, 1), ["acceptor accepts"]),  # a thread that is about to end has no lane
        (look("asyncio", [], 1, None), ["loop idle"]),
    ],
)
def test_serving_threads_have_lanes(seen: Look, lanes: list[str]) -> None:
    assert [f"{lane.name} {lane.does}" for lane in list_lanes(seen).shown] == lanes


def test_shrunk_pool_keeps_latest_workers() -> None:
    served = (record(1, "worker-1", 980, 981), record(2, "worker-9", 981, 982), record(3, "worker-4", 982, 983))
    names = [lane.name for lane in list_lanes(look("elastic_pool", [], 4, 0, ended=served)).shown]
    assert names == ["acceptor", "worker-4", "worker-9"]


def test_loop_shows_its_longest_connection() -> None:
    [lane] = list_lanes(look("asyncio", [record(n, "loop", 900 + n) for n in range(1, 51)], 1, None)).shown
    assert (lane.serving, lane.record and lane.record.number) == (50, 1)


def test_further_lanes_are_counted() -> None:
    found = list_lanes(look("thread_per_client", [record(n, f"client-{n}") for n in range(1, 2001)], 2001, 2000))
    assert [lane.name for lane in found.shown[:3]] == ["acceptor", "client-1", "client-2"]
    assert len(found.shown) == MAX_LANES
    assert (found.more, found.more_serving) == (2001 - MAX_LANES, 2001 - MAX_LANES)


def test_stopped_server_has_no_lanes() -> None:
    server = FakeLab().add_server(state="stopped")
    assert list_lanes(Look(NOW, server)).shown == ()


def test_close_busy_spans_are_joined() -> None:
    ended = [record(1, "a", 1, 2), record(2, "a", 2.05, 3), record(3, "a", 4, 5), record(4, "b", 1, 2)]
    assert busy_spans(ended, ["a"]) == {"a": [(NS_PER_S, 3 * NS_PER_S), (4 * NS_PER_S, 5 * NS_PER_S)]}


def test_lane_has_600_units() -> None:
    spans = [(int(930 * NS_PER_S), int(935 * NS_PER_S)), (int(930 * NS_PER_S), int(950 * NS_PER_S))]
    assert busy_path(spans, int(990 * NS_PER_S), NOW) == "M0 0h100v10h-100zM500 0h100v10h-100z"


@pytest.mark.parametrize(("number", "drawn", "each"), [(0, 0, 1), (120, 120, 1), (121, 61, 2), (2000, 100, 20)])
def test_squares_stand_for_round_numbers(number: int, drawn: int, each: int) -> None:
    path, every = squares(number)
    assert (path.count("z"), every) == (drawn, each)


# --- the last minute -------------------------------------------------------------------------------------------------


SAMPLE = Sample(
    at_ns=NOW, waiting=1, in_service=2, threads_alive=3, threads_busy=2, queue_depth=1, accept_queue=None, cpu_s=1.0,
    rss_bytes=3 * 2**20, vms_bytes=2**30, voluntary_switches=0, involuntary_switches=0, listen_overflows=None,
)  # fmt: skip


def test_cpu_share_covers_half_a_second() -> None:
    samples = [replace(SAMPLE, at_ns=NOW + n * NS_PER_S // 10, cpu_s=1 + n * 0.05) for n in range(7)]
    assert [row[6] for row in sample_rows(samples)] == [None] * 5 + [50.0] * 2


def test_context_switches_are_rates() -> None:
    samples = [
        replace(SAMPLE, at_ns=NOW + n * NS_PER_S // 10, voluntary_switches=9 + n * 20, involuntary_switches=n * 3)
        for n in range(6)
    ]
    assert [row[10:] for row in sample_rows(samples)] == [(None, None)] * 5 + [(200.0, 30.0)]


def test_sparklines_have_descriptions() -> None:
    found = {chart.columns[0]: chart for chart in server_sparklines(sample_rows([SAMPLE]), NOW, is_alone=True)}
    assert found["in_service"].words == "in service, the last minute: now 2, at most 2"
    assert found["accept_queue"].value == "\N{EM DASH}"
    assert found["threads_alive"].value == "3, 2"
    assert found["rss_bytes"].top == "5\N{NARROW NO-BREAK SPACE}MiB"
    assert found[
        "vms_bytes"
    ].words == "virtual memory of its process, the last minute: now 1 GiB, at most 1 GiB".replace(
        " GiB", "\N{NARROW NO-BREAK SPACE}GiB"
    )


def test_age_is_never_negative() -> None:
    assert age(-1) == age(0) == "0.0\N{NARROW NO-BREAK SPACE}s"


@pytest.mark.parametrize(("highest", "top"), [(0, 1), (1, 1), (3, 5), (10, 10), (11, 20), (999, 1000)])
def test_scales_end_at_round_numbers(highest: float, top: float) -> None:
    assert nice_top(highest) == top


def test_unknown_value_leaves_a_gap() -> None:
    rows = [(940.0, 0), (970.0, 1), (985.0, None), (1000.0, 1)]
    broken = line(rows, 1, 1, NOW)
    assert broken == "M0 100.0L300 0.0M600 0.0"
    assert area_under(broken) == ""
    assert area_under(line(rows[:2], 1, 1, NOW)) == "M0 100.0L300 0.0L300 100L0 100z"
    assert area_under(line(rows[:1], 1, 1, NOW)) == "M0 100.0L0 100L0 100z"
    assert area_under("") == ""


def test_flat_part_of_a_line_has_two_points() -> None:
    rows = [(value_s, value) for value_s, value in zip(range(940, 1000, 10), (None, None, 1, 1, 1, 0), strict=True)]
    assert line(rows, 1, 1, NOW) == "M200 0.0L400 0.0L500 100.0"
    assert line(rows[:-1], 1, 1, NOW) == "M200 0.0L400 0.0"


def test_seen_records_are_not_new() -> None:
    before = Seen(5, 5, 5)
    assert Look(NOW, FakeLab().add_server()).seen(before) == before
    seen = Look(NOW, FakeLab().add_server(), ended=(record(1, "a", 1, 2),), samples=(SAMPLE,)).seen(before)
    assert seen == Seen(2 * NS_PER_S, NOW, 5)
