"""The cache of timeline rows: its limit, and rows that a page holds."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from coreserver.records.codec import decode_connections, encode_connections
from tests.support.made_records import ZERO_NS, pool_of_two, report_of, result
from webapp.lab.lab import Lab
from webapp.pages.run import run_page
from webapp.settings import Settings
from webapp.storage import timeline_cache
from webapp.storage.store import Result, RunEnding, Store
from webapp.storage.timeline_cache import RunRows

AT = "2026-01-02T03:04:05.678+00:00"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(Store(tmp_path)) as opened:
        yield opened


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list that gets the size of every decoded blob."""
    sizes: list[int] = []

    def decode(data: bytes, *, messages: bool = True) -> object:
        sizes.append(len(data))
        return decode_connections(data, messages=messages)

    monkeypatch.setattr(timeline_cache, "decode_connections", decode)
    return sizes


def add_run(store: Store) -> int:
    joined = pool_of_two()
    report = report_of(result(joined))
    run_id = store.add_run(
        report.run.config.model_dump(), label="", note="", model="sequential", server_id=None, created_at=AT
    )
    store.start_run(run_id, AT)
    brought = Result(ZERO_NS, 0.0, report, encode_connections(joined))
    store.end_run(run_id, RunEnding("completed", AT, result=brought))
    return run_id


def test_rows_are_cached_up_to_the_limit(store: Store, reads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_cache, "MAX_ROWS", 6)
    rows, [first, second, third] = RunRows(store), [add_run(store) for _ in range(3)]
    for run_id in (first, second, first, second):
        assert [row.name for row in rows.of(run_id)] == ["conn1", "conn2", "conn3"]
    assert len(reads) == 2
    rows.of(first)
    rows.of(third)  # replaces the second, which is the least recently used
    assert len(reads) == 3
    rows.of(first)
    assert len(reads) == 3
    rows.of(second)
    assert len(reads) == 4


def test_uncached_rows_live_with_their_caller(store: Store, reads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_cache, "MAX_ROWS", 2)
    rows, run_id = RunRows(store), add_run(store)
    held = rows.of(run_id)
    assert rows.of(run_id) is held
    assert len(reads) == 1
    del held
    rows.of(run_id)
    assert len(reads) == 2


def test_page_reads_a_large_run_once(tmp_path: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_cache, "MAX_ROWS", 2)
    with contextlib.closing(Lab(replace(Settings(), data_dir=tmp_path), store := Store(tmp_path))) as lab:
        page = run_page(lab, add_run(store), "http://lab")
    assert "conn3" in page.timeline
    assert "worker-2" in page.lanes
    assert page.parts is not None
    assert page.results is not None
    assert len(reads) == 1
