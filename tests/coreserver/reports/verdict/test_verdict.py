"""Which findings make a run suspect or invalid."""

from typing import Any

import pytest

from coreserver.records.client import ClientOutcome
from coreserver.records.joined import JoinedConnection
from coreserver.records.run_result import RunResult
from coreserver.records.server import DesignFacts
from coreserver.reports.schema.verdict_shape import Verdict
from coreserver.reports.verdict.verdict import judge
from tests.support.made_records import client, evidence, pool_of_two, result, server, use, worker


def verdict(of: RunResult, placement: str = "process", **server: Any) -> Verdict:
    return judge(evidence(of, placement=placement, **server))


def codes(of: RunResult, placement: str = "process", **server: Any) -> dict[str, str]:
    return {reason.code: reason.severity for reason in verdict(of, placement, **server).reasons}


def test_article_run_is_valid_with_notes() -> None:
    found = verdict(result(pool_of_two(), ended=4400), placement="thread")
    assert found.status == "valid"
    assert [reason.code for reason in found.reasons] == ["shared_interpreter", "too_few_samples"]
    assert "3 answered messages: p50 and above need 20 or more" in found.reasons[1].detail


@pytest.mark.parametrize(
    ("found", "code", "status"),
    [
        (result(records_lost=1), "records_lost", "invalid"),
        (result(outcome="failed", failure="worker_died", complete=False), "worker_died", "invalid"),
        (result(outcome="failed", failure="could_not_connect"), "could_not_connect", "invalid"),
        (result(outcome="failed", failure="server_failed"), "server_failed", "invalid"),
        (result(complete=False), "incomplete", "invalid"),
        (result(outcome="cancelled", complete=False), "cancelled", "suspect"),
        (result(listen_overflows=3), "listen_overflow", "suspect"),
        (result(foreign=1), "foreign_connections", "suspect"),
        (result(workers=[worker(cpu_s=1.7)]), "clients_busy", "suspect"),
        (result(workers=[worker(), worker(cpu_s=1.9)]), "client_saturated", "invalid"),
        (result(workers=[worker(lag_ms=21)]), "clients_busy", "suspect"),
        (result(stopped_by="MAX_MESSAGES: a run keeps 20,000,000"), "client_limited", "invalid"),
        (result(machine=use(steal_s=0.2)), "machine_busy", "suspect"),
        (result(machine=use(busy_s=2.0, own_s=1.0)), "machine_busy", "suspect"),
    ],
)
def test_reasons_decide_the_status(found: RunResult, code: str, status: str) -> None:
    assert verdict(found).status == status
    assert codes(found)[code] == status


@pytest.mark.parametrize(
    "found",
    [
        result(listen_overflows=None),
        result(workers=[worker(cpu_s=0.9, elapsed_s=0.9, lag_ms=30)]),
        result(workers=[worker(cpu_s=1.6, lag_ms=20)]),
        result(machine=use(elapsed_s=0.9, steal_s=1.0, busy_s=9.0)),
        result(machine=use(steal_s=0.15, busy_s=1.7, own_s=1.0)),
    ],
)
def test_unknown_or_short_runs_are_not_judged(found: RunResult) -> None:
    assert verdict(found).status == "valid"


def test_connection_without_end_is_incomplete() -> None:
    found = result([JoinedConnection(client(outcome=None), None)])
    assert codes(found)["incomplete"] == "invalid"


def test_dead_process_has_no_foreign_connections() -> None:
    found = result(outcome="failed", failure="worker_died", complete=False, foreign=1)
    assert "worker_died" in codes(found)
    assert "foreign_connections" not in codes(found)


@pytest.mark.parametrize(
    ("outcome", "code", "status"),
    [
        (ClientOutcome.CORRUPTED, "corrupted_replies", "invalid"),
        (ClientOutcome.SELF_CONNECT, "self_connect", "suspect"),
    ],
)
def test_client_outcome_gives_a_reason(outcome: ClientOutcome, code: str, status: str) -> None:
    found = result([JoinedConnection(client(outcome=outcome), None)])
    assert codes(found)[code] == status


def test_refusals_and_timeouts_are_results() -> None:
    ends = (ClientOutcome.REFUSED, ClientOutcome.RESET, ClientOutcome.TIMED_OUT)
    assert verdict(result([JoinedConnection(client(outcome=end), None) for end in ends])).status == "valid"


def test_cancelled_run_ignores_unstarted_clients() -> None:
    never = JoinedConnection(client(connect=None, outcome=ClientOutcome.NOT_STARTED), None)
    assert "not_started" not in codes(result([never], outcome="cancelled"))


@pytest.mark.parametrize(
    ("detail", "code", "words"),
    [
        ("EMFILE", "client_limited", "2 clients could not start because of exhausted file descriptors"),
        (
            "RLIMIT_NOFILE: 336 connections are open already",
            "client_limited",
            "2 clients could not start because of exhausted file",
        ),
        ("EADDRNOTAVAIL", "client_limited", "because of exhausted local ports"),
        ("EACCES", "not_started", "2 clients never tried to connect"),
    ],
)
@pytest.mark.parametrize(("others", "severity"), [(2, "invalid"), (198, "suspect")])
def test_clients_that_never_started(detail: str, code: str, words: str, others: int, severity: str) -> None:
    never = client(connect=None, outcome=ClientOutcome.NOT_STARTED, detail=detail)
    found = result([JoinedConnection(one, None) for one in [never] * 2 + [client(closed=9)] * others])
    (reason,) = (reason for reason in verdict(found).reasons if reason.code == code)
    assert reason.severity == severity
    assert words in reason.detail


@pytest.mark.parametrize(
    ("late_ms", "clients", "suspect"),
    [(49, 3, False), (51, 3, True), (0.9, 100, False), (11, 999, False), (0.9, 1000, False), (1.1, 1000, True)],
)
def test_few_late_clients_are_judged_by_maximum(late_ms: float, clients: int, suspect: bool) -> None:
    late = [JoinedConnection(client(connect=late_ms, closed=99), None) for _ in range(clients)]
    assert ("clients_late" in codes(result(late))) is suspect


def crowd(took_ms: float, count: int, **more: Any) -> RunResult:
    """Return clients that are due at one instant and connect one after the other."""
    each = took_ms / (count - 1)
    clients = [
        client(connect=k * each, closed=999, messages=[(0, k * each, k * each + 1)], **more) for k in range(count)
    ]
    return result([JoinedConnection(one, None) for one in clients])


@pytest.mark.parametrize(
    ("took_ms", "count", "code"),
    [(9, 100, None), (11, 100, "connects_spread"), (170, 2000, "connects_spread"), (501, 2000, "clients_late"),
     (49, 3, "connects_spread"), (51, 3, "clients_late")],
)  # fmt: skip
def test_crowd_may_connect_one_by_one(took_ms: float, count: int, code: str) -> None:
    group = {"name": "script", "kind": "script", "count": count}
    found = judge(evidence(crowd(took_ms, count), groups=[group]))
    codes_found = [reason.code for reason in found.reasons]
    assert [one for one in codes_found if one in ("connects_spread", "clients_late")] == ([code] if code else [])
    assert found.status == ("suspect" if code == "clients_late" else "valid")


def test_crowd_is_judged_strictly_later() -> None:
    group = {"name": "script", "kind": "script", "count": 2}
    at_start = [client(connect=k, closed=99, messages=[(0, k, 2)] + [(50, 52, 53)] * 600) for k in (0, 1)]
    again = [client(due=50, connect=52, closed=99) for _ in range(1200)]
    for members in (at_start, again + at_start[:1]):
        found = judge(evidence(result([JoinedConnection(one, None) for one in members]), groups=[group]))
        assert "clients_late" in [reason.code for reason in found.reasons]


def test_crowd_in_warm_up_is_not_judged() -> None:
    group = {"name": "script", "kind": "script", "count": 2000}
    found = judge(evidence(crowd(501, 2000, warm_up=1), groups=[group]))
    assert not {"connects_spread", "clients_late"} & {reason.code for reason in found.reasons}


def test_slow_answers_tolerate_lateness() -> None:
    slow = client(connect=60, connected=61, greeted=62, closed=3000, messages=[(0, 62, 2000)])
    assert "clients_late" not in codes(result([JoinedConnection(slow, None)]))  # 60 ms compared with 2 s


@pytest.mark.parametrize(
    ("messages", "code", "severity"), [(99, "clients_busy", "suspect"), (100, "client_saturated", "invalid")]
)
def test_late_loop_invalidates_percentiles(messages: int, code: str, severity: str) -> None:
    clients = [JoinedConnection(client(messages=[(0, 1, 2)]), None) for _ in range(messages)]
    assert codes(result(clients, workers=[worker(lag_ms=21)]))[code] == severity


def test_slow_answers_tolerate_late_loops() -> None:
    slow = client(connect=0, connected=1, greeted=2, closed=3000, messages=[(0, 2, 2000)])
    found = codes(result([JoinedConnection(slow, None)], workers=[worker(lag_ms=90)]))
    assert not {"client_saturated", "clients_busy"} & set(found)


@pytest.mark.parametrize(
    ("cpu_s", "one_core", "code"),
    [
        (None, True, "client_saturated"),
        (1.7, True, "client_saturated"),
        (1.9, True, "clients_busy"),
        (1.9, False, "client_saturated"),
    ],
)
def test_saturated_server_makes_clients_suspect(cpu_s: float | None, one_core: bool, code: str) -> None:
    design = DesignFacts(runs_on_one_core=one_core)
    found = codes(result(workers=[worker(cpu_s=1.95)], ended=2000, design=design), cpu_s=cpu_s)
    assert found.keys() & {"client_saturated", "clients_busy"} == {code}


def test_server_process_is_part_of_the_run() -> None:
    found = result(machine=use(busy_s=2.0, own_s=0.5))
    assert "machine_busy" in codes(found, cpu_s=1.0, placement="thread")  # it is part of own_s already
    assert "machine_busy" not in codes(found, cpu_s=1.2)


@pytest.mark.parametrize(
    ("placement", "noted"),
    [("thread", {"shared_interpreter"}), ("process", set()), ("not ours", {"server_unseen"})],
)
def test_placement_leaves_a_run_valid(placement: str, noted: set[str]) -> None:
    found = verdict(result(), placement)
    assert found.status == "valid"
    assert {"shared_interpreter", "server_unseen"} & {reason.code for reason in found.reasons} == noted


@pytest.mark.parametrize(
    ("requested", "effective", "noted"), [(64, 64, False), (65535, 4096, True), (None, None, False)]
)
def test_capped_backlog_is_noted(requested: int | None, effective: int | None, noted: bool) -> None:
    found = verdict(result(), config={"backlog": requested}, backlog_effective=effective)
    assert found.status == "valid"
    assert ("backlog_capped" in [reason.code for reason in found.reasons]) is noted


def test_missing_server_record_is_suspect() -> None:
    bare = JoinedConnection(client(connected=1, greeted=2, closed=3), None)
    kept = JoinedConnection(client(connected=1, greeted=2, closed=3), server(1, 2, 3))
    assert codes(result([bare, kept]))["records_missing"] == "suspect"
    assert "records_missing" not in codes(result([bare]))


def test_worst_reason_decides() -> None:
    found = verdict(result(outcome="cancelled", records_lost=2), placement="thread")
    assert found.status == "invalid"
    assert [r.severity for r in found.reasons] == ["invalid", "suspect", "note", "note"]


def test_failure_detail_is_kept() -> None:
    died = result(outcome="failed", failure="worker_died", failure_detail="exit status -9")
    assert verdict(died).reasons[0].detail.endswith("exit status -9")
