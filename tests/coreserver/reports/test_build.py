"""The report as a whole: also of runs that were cancelled, failed or empty."""

import json
from dataclasses import replace
from typing import Any

import pytest

from coreserver.records.client import ClientOutcome
from coreserver.records.joined import JoinedConnection
from coreserver.records.run_result import RunResult
from coreserver.records.server import UNKNOWN_DESIGN, DesignFacts, Discipline
from coreserver.reports.build import RunInfo, ServerInfo, build_report
from coreserver.reports.environment import describe_machine
from coreserver.reports.schema.figures import Window
from coreserver.reports.schema.report import Report
from tests.support.made_records import ENVIRONMENT, client, pool_of_two, result, run_config, sample

RUN = RunInfo(
    id=7,
    label="pool",
    note="",
    seed=1,
    config=run_config([{"name": "script", "kind": "script"}, {"name": "empty", "kind": "script"}]),
    created_at="2026-01-01T12:00:00.000+00:00",
    started_at="2026-01-01T12:00:01.000+00:00",
    ended_at="2026-01-01T12:00:06.000+00:00",
    state="completed",
)
SERVER = ServerInfo(model="bounded_pool", config={"backlog": 64, "workers": 2, "placement": "thread"})
STATS = {"count", "mean", "min", "p50", "p90", "p99", "p99_9", "max"}


def report(of: RunResult, somaxconn: int | None = 4096) -> dict[str, Any]:
    made = build_report(RUN, of, SERVER, ENVIRONMENT.model_copy(update={"somaxconn": somaxconn}))
    document: dict[str, Any] = json.loads(made.model_dump_json())
    assert Report.model_validate(document) == made
    return document


def test_report_has_every_part() -> None:
    made = report(result(pool_of_two(), ended=4401))
    assert list(made) == [
        "schema_version", "run", "verdict", "window", "totals", "latency", "waits", "groups", "theory", "series",
        "histograms", "server", "environment",
    ]  # fmt: skip
    assert made["run"]["id"] == 7
    assert made["run"]["sentence"].startswith("2 of 3 clients")
    assert made["totals"]["peak_in_service"] == 2
    assert set(made["latency"]) == {"response_ms", "round_trip_ms", "lateness_ms"}
    assert set(made["waits"]) == {"connect_ms", "backlog_ms", "queue_ms", "greeting_ms", "session_ms"}
    assert all(set(stats) == STATS for stats in (*made["latency"].values(), *made["waits"].values()))
    assert len(made["series"]["rows"]) == 45
    assert made["histograms"]["response"] is not None


@pytest.mark.parametrize(
    ("design", "stored"),
    [
        (UNKNOWN_DESIGN, (None, None)),
        (DesignFacts(worker_names=()), (None, [])),
        (DesignFacts(Discipline.LAST_COME_FIRST_SERVED, ("w",)), ("last_come_first_served", ["w"])),
    ],
    ids=["external", "thread per client", "newest first"],
)
def test_stores_facts_about_the_design(design: DesignFacts, stored: tuple[str | None, list[str] | None]) -> None:
    served_by = report(result(design=design))["server"]
    assert (served_by["discipline"], served_by["worker_names"]) == stored


def test_empty_group_has_the_same_figures() -> None:
    script, empty = report(result(pool_of_two()))["groups"]
    assert (script["name"], script["kind"], script["totals"]["connections"]["due"]) == ("script", "script", 3)
    assert (empty["name"], empty["totals"]["connections"]["due"]) == ("empty", 0)
    assert empty["totals"]["peak_in_service"] is None


@pytest.mark.parametrize(("somaxconn", "effective"), [(4096, 64), (16, 16), (None, None)])
def test_kernel_limit_caps_the_backlog(somaxconn: int | None, effective: int | None) -> None:
    assert report(result(), somaxconn)["server"]["backlog_effective"] == effective


def test_sample_before_start_counts_for_sums_only() -> None:
    looks = [
        sample(-50, cpu_s=1.0, threads=99, queue=50, rss=9999),
        sample(50, cpu_s=1.25, threads=3, queue=1, rss=2000),
        sample(150, cpu_s=3.0, threads=4, queue=0, rss=1500),
    ]
    server = report(result(pool_of_two(), samples=looks))["server"]
    assert (server["peak_threads"], server["peak_queue"]) == (4, 1)
    assert (server["peak_rss_bytes"], server["peak_vms_bytes"]) == (2000, 4000)
    assert (server["cpu_s"], server["voluntary_switches"], server["involuntary_switches"]) == (2.0, 20, 2)
    assert (server["model"], server["placement"], server["scope"]) == ("bounded_pool", "thread", "process")


def test_no_samples_give_null_figures() -> None:
    server = report(result(pool_of_two(), listen_overflows=None))["server"]
    for name in ("peak_threads", "peak_queue", "cpu_s", "peak_rss_bytes", "voluntary_switches", "listen_overflows"):
        assert server[name] is None


def test_design_without_threads_has_no_peak() -> None:
    looks = [sample(10, threads=None, queue=None), sample(110, threads=None, queue=None)]
    server = report(result(samples=looks))["server"]
    assert (server["peak_threads"], server["peak_queue"], server["cpu_s"]) == (None, None, 0.0)


HALFWAY = [
    pool_of_two()[0],
    JoinedConnection(client("conn2", connected=1, greeted=2, outcome=None), None),
    JoinedConnection(client("conn3", connect=None, outcome=ClientOutcome.NOT_STARTED, local=None), None),
]


@pytest.mark.parametrize(
    ("of", "status"),
    [
        (result(HALFWAY, outcome="cancelled", complete=False), "suspect"),
        (result(HALFWAY, outcome="failed", failure="worker_died", complete=False), "invalid"),
        (result([], outcome="failed", failure="cannot_start", complete=False, ended=0), "invalid"),
    ],
    ids=["cancelled", "worker died", "nothing at all"],
)
def test_incomplete_run_has_a_complete_report(of: RunResult, status: str) -> None:
    assert report(of)["verdict"]["status"] == status


def test_machine_description_has_values() -> None:
    machine = describe_machine()
    assert machine.cores is not None
    assert machine.somaxconn is not None
    assert machine.cores >= machine.cores_usable >= 1
    assert machine.somaxconn > 0
    assert machine.versions["hdrhistogram"]


def test_window_excludes_warm_up() -> None:
    group = {"name": "script", "kind": "closed", "start_s": 1.0, "warm_up_s": 0.5, "duration_s": 2.0}
    made = build_report(
        replace(RUN, config=run_config([group])), result(pool_of_two(), ended=4400), SERVER, ENVIRONMENT
    )
    assert made.window == made.groups[0].window == Window(from_s=1.5, until_s=3.0)


def test_no_clients_have_no_window() -> None:
    made = report(result([], outcome="failed", failure="cannot_start", ended=0))
    assert (made["window"], made["theory"]) == (None, None)


def test_pool_run_is_compared_with_theory() -> None:
    group = {"name": "script", "kind": "open", "arrivals": "poisson", "rate_per_s": 1.0, "duration_s": 9.0}
    work = {"kind": "sleep", "mean_ms": 2000.0, "distribution": "fixed", "per": "connection"}
    pool = ServerInfo(model="bounded_pool", config={"model": "bounded_pool", "workers": 2, "work": work})
    design = DesignFacts(Discipline.FIRST_COME_FIRST_SERVED, ("worker-1", "worker-2"))
    of = result(pool_of_two(), ended=9000, design=design)
    made = build_report(replace(RUN, config=run_config([group])), of, pool, ENVIRONMENT)
    assert made.theory is not None
    assert made.theory.wait_ms == made.theory.recursion_wait_ms
