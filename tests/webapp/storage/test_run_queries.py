"""The list of runs: sort orders, filters and pages, also while runs are added and deleted."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from coreserver.reports.schema.report import Report
from coreserver.reports.schema.verdict_shape import Verdict
from tests.support.made_reports import report_of, visitors
from webapp.problems import Invalid
from webapp.schemas.resources import RunFilter, RunSort
from webapp.storage.database import migrations
from webapp.storage.store import FILE_NAME, Result, RunEnding, Store, StoredRun

SORTS = get_args(RunSort)
VERDICTS: Final = ("valid", "suspect", "invalid")


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Store]:
    with contextlib.closing(Store(folder)) as store:
        store._database._writer.execute("PRAGMA synchronous = OFF")  # hundreds of runs; an fsync for each is slow
        yield store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as empty:
        yield empty


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Store with the runs 1 to 23, for tests that change nothing."""
    with opened(tmp_path_factory.mktemp("listed")) as store:
        for number in range(23):
            add(store, number)
        yield store


def at(minute: int) -> str:
    return f"2026-01-02T03:{minute:02d}:05.000+00:00"


PLAIN = report_of(visitors(20))


def report(number: int) -> Report:
    """Figures of run `number`: every third run has no percentiles, and several runs share figures."""
    percentiles = {"p50": None, "p99": None} if number % 3 == 0 else {"p50": number % 2 + 0.5, "p99": 9.5}
    throughput = None if number % 5 == 0 else number / 7
    totals = {"duration_s": float(number % 4), "throughput_messages_per_s": throughput}
    response = PLAIN.latency.response_ms.model_copy(update=percentiles)
    return PLAIN.model_copy(
        update={
            "verdict": Verdict(status=VERDICTS[number % 3], reasons=[]),
            "totals": PLAIN.totals.model_copy(update=totals),
            "latency": PLAIN.latency.model_copy(update={"response_ms": response}),
        }
    )


def add(store: Store, number: int) -> int:
    """Add run `number`, whose values follow from its number; every fourth run has no report."""
    run_id = store.add_run(
        {},
        label=("", "beta", "Alpha", f"run {number}")[number % 4],
        note="",
        model=("sequential", "asyncio")[number % 2],
        server_id=(None, 1, 2)[number % 3],
        created_at=at(number * 7 % 60),
    )
    result = Result(1, 1.0, report(number), b"") if number % 4 else None
    store.end_run(run_id, RunEnding("completed" if result else "failed", at(59), result=result))
    return run_id


def pages(store: Store, which: dict[str, Any], meanwhile: Callable[[], object] = lambda: None) -> list[StoredRun]:
    found: list[StoredRun] = []
    cursor = None
    while True:
        rows, cursor = store.find_runs(RunFilter(**which, cursor=cursor))
        found += rows
        if cursor is None:
            return found
        assert rows
        meanwhile()


def key(sort: str) -> Callable[[StoredRun], Any]:
    def of(row: StoredRun) -> Any:
        outline = row.outline or {}
        totals = outline.get("totals", {})
        return {
            "created_at": row.created_at,
            "label": row.label.lower(),
            "model": row.model,
            "verdict": outline["verdict"]["status"] if outline else None,
            "duration_s": totals.get("duration_s"),
            "throughput_messages_per_s": totals.get("throughput_messages_per_s"),
            "response_p50_ms": row.response_p50_ms,
            "response_p99_ms": row.response_p99_ms,
        }[sort.removeprefix("-")]

    return of


def in_order(rows: list[StoredRun], sort: str) -> list[StoredRun]:
    """Sort in Python: rows without the figure last, equal figures by id."""
    of = key(sort)
    turned = sort.startswith("-")
    have = sorted((row for row in rows if of(row) is not None), key=lambda row: (of(row), row.id), reverse=turned)
    return have + sorted((row for row in rows if of(row) is None), key=lambda row: row.id, reverse=turned)


@pytest.mark.parametrize("sort", SORTS)
def test_pages_list_each_run_once(listed: Store, sort: str) -> None:
    everything = [listed.get_run(run_id) for run_id in range(1, 24)]
    expected = [row.id for row in in_order(everything, sort)]
    for limit in (1, 3, 7, 23, 500):
        assert [row.id for row in pages(listed, {"sort": sort, "limit": limit})] == expected
    filters: dict[str, Callable[[StoredRun], bool]] = {
        "model": lambda row: row.model == "asyncio",
        "verdict": lambda row: row.outline is not None and row.outline["verdict"]["status"] == "suspect",
        "state": lambda row: row.state == "failed",
        "server_id": lambda row: row.server_id == 2,
        "label": lambda row: "run 1" in row.label,
    }
    wanted = {"model": "asyncio", "verdict": "suspect", "state": "failed", "server_id": 2, "label": "RUN 1"}
    for name, is_wanted in filters.items():
        some = [row.id for row in in_order([row for row in everything if is_wanted(row)], sort)]
        assert some
        assert [row.id for row in pages(listed, {"sort": sort, "limit": 2, name: wanted[name]})] == some


@pytest.mark.parametrize("sort", SORTS)
def test_concurrent_changes_shift_nothing(store: Store, sort: str) -> None:
    """Runs that exist all the time are listed once, although the last run of each page is deleted after it."""
    before = [add(store, number) for number in range(20)]
    doomed = [row.id for row in pages(store, {"sort": sort, "limit": 3})][2::3]
    kept = [run_id for run_id in before if run_id not in doomed]
    queue = iter(doomed)
    numbers = iter(range(20, 60))

    def meanwhile() -> None:
        store.delete_run(next(queue, 10**6))
        add(store, next(numbers))

    found = [row.id for row in pages(store, {"sort": sort, "limit": 3}, meanwhile)]
    assert len(found) == len({*found})
    assert [run_id for run_id in found if run_id in kept] == [
        row.id for row in in_order([store.get_run(run_id) for run_id in kept], sort)
    ]


@pytest.mark.parametrize("sort", SORTS)
def test_cursor_belongs_to_one_order(listed: Store, sort: str) -> None:
    for other in SORTS:
        _, cursor = listed.find_runs(RunFilter(sort=other, limit=1))
        if other == sort:
            assert listed.find_runs(RunFilter(sort=sort, cursor=cursor))[0]
            continue
        with pytest.raises(Invalid) as caught:
            listed.find_runs(RunFilter(sort=sort, cursor=cursor))
        assert [error.field for error in caught.value.errors] == ["cursor"]


@pytest.mark.parametrize(
    "made",
    [
        ["duration_s", "1.0", 1],
        ["duration_s", True, 1],
        ["duration_s", float("nan"), 1],
        ["duration_s", 1.0, 2**70],
        ["duration_s", 1.0, True],
        ["duration_s", 1.0],
        {"duration_s": 1},
    ],
)
def test_changed_cursor_is_refused(listed: Store, made: Any) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(made).encode()).decode()
    with pytest.raises(Invalid, match="cursor"):
        listed.find_runs(RunFilter(sort="duration_s", cursor=cursor))


@pytest.mark.parametrize("label", ["\ud800", "a\x00b", None, 3])
def test_cursor_with_a_bad_label_is_refused(listed: Store, label: Any) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(["label", label, 1]).encode()).decode()
    with pytest.raises(Invalid, match="cursor"):
        listed.find_runs(RunFilter(sort="label", cursor=cursor))


@pytest.mark.parametrize("sort", SORTS)
def test_queries_read_only_listed_rows(listed: Store, sort: str) -> None:
    """The ids of a page come from a range of an index alone, so 10,000 runs take no more work than 100."""
    asked: list[str] = []
    _, cursor = listed.find_runs(RunFilter(sort=sort, limit=1))
    with listed._database.read() as db:
        db.set_trace_callback(asked.append)
    which = RunFilter(sort=sort, cursor=cursor, state="failed", model="x", verdict="valid", server_id=1, label="y")
    listed.find_runs(which)
    with listed._database.read() as db:
        db.set_trace_callback(None)
        for statement in asked:
            plan = [row["detail"] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
            assert any(re_used(step) for step in plan), plan
            assert not [step for step in plan if step.startswith("SCAN runs") or step == "SEARCH runs USING INDEX"], (
                plan
            )


def re_used(step: str) -> bool:
    return step.startswith("SEARCH runs USING COVERING INDEX")


def test_migration_fills_sort_columns(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as old:
        old.executescript(f"{migrations()[0]}; PRAGMA user_version = 1;")
        for run_id, number in ((1, 1), (2, 4)):
            found = report(number).model_dump(mode="json")
            outline = json.dumps({"verdict": found["verdict"], "sentence": "", "totals": found["totals"]})
            old.execute(
                "INSERT INTO runs (id, state, label, note, model, config, created_at, verdict_status, outline)"
                " VALUES (?, 'completed', '', '', 'asyncio', '{}', ?, 'valid', ?)",
                (run_id, at(run_id), outline),
            )
            packed = zlib.compress(json.dumps(found).encode())
            old.execute("INSERT INTO results VALUES (?, 1, 1.0, ?, x'')", (run_id, packed))
        old.execute(
            "INSERT INTO runs (state, label, note, model, config, created_at) VALUES ('failed', '', '', 'x', '{}', '')"
        )
        old.commit()
    with contextlib.closing(Store(tmp_path)) as store:
        rows = pages(store, {"sort": "-response_p50_ms"})
        assert [(row.id, row.response_p50_ms, row.response_p99_ms) for row in rows] == [
            (1, 1.5, 9.5),
            (2, 0.5, 9.5),
            (3, None, None),
        ]
        assert [row.id for row in pages(store, {"sort": "-throughput_messages_per_s"})] == [2, 1, 3]
        assert [row.id for row in pages(store, {"sort": "duration_s"})] == [2, 1, 3]
