"""Which findings make a run suspect or invalid."""

from typing import Any

import pytest

from coreserver.clients.records import ClientOutcome
from coreserver.reports.timing import JoinedConnection
from coreserver.reports.totals import latency, totals
from coreserver.reports.verdict import judge
from coreserver.run import RunResult
from tests.reports.made import client, pool_of_two, result, server


def verdict(of: RunResult, placement: str = "process") -> dict[str, Any]:
    return judge(of, totals=totals(of.connections), latency=latency(of.connections), placement=placement)


def codes(of: RunResult, placement: str = "process") -> dict[str, str]:
    return {reason["code"]: reason["severity"] for reason in verdict(of, placement)["reasons"]}


def test_the_articles_run_is_valid_with_notes() -> None:
    found = verdict(result(pool_of_two(), ended=4400), placement="thread")
    assert found["status"] == "valid"
    assert [reason["code"] for reason in found["reasons"]] == ["shared_interpreter", "too_few_samples"]
    assert "3 answered messages: p50 and above need 20 or more" in found["reasons"][1]["detail"]


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
        (result(ended=3000, cpu_s=2.5), "clients_busy", "suspect"),
    ],
)
def test_what_went_wrong_around_the_records(found: RunResult, code: str, status: str) -> None:
    assert verdict(found)["status"] == status
    assert codes(found)[code] == status


@pytest.mark.parametrize("found", [result(listen_overflows=None), result(ended=1900, cpu_s=1.9)])
def test_what_is_unknown_or_too_short_to_judge_is_no_reason(found: RunResult) -> None:
    assert verdict(found)["status"] == "valid"


@pytest.mark.parametrize(
    ("outcome", "code", "status"),
    [
        (ClientOutcome.CORRUPTED, "corrupted_replies", "invalid"),
        (ClientOutcome.NOT_STARTED, "not_started", "suspect"),
        (ClientOutcome.SELF_CONNECT, "self_connect", "suspect"),
    ],
)
def test_what_clients_met(outcome: ClientOutcome, code: str, status: str) -> None:
    found = result([JoinedConnection(client(outcome=outcome), None)])
    assert codes(found)[code] == status


def test_refusals_resets_and_timeouts_are_results_and_not_faults_of_the_run() -> None:
    ends = (ClientOutcome.REFUSED, ClientOutcome.RESET, ClientOutcome.TIMED_OUT)
    assert verdict(result([JoinedConnection(client(outcome=end), None) for end in ends]))["status"] == "valid"


def test_a_cancelled_run_does_not_blame_those_who_never_began() -> None:
    never = JoinedConnection(client(connect=None, outcome=ClientOutcome.NOT_STARTED), None)
    assert "not_started" not in codes(result([never], outcome="cancelled"))


@pytest.mark.parametrize(
    ("late_ms", "clients", "suspect"),
    [(49, 3, False), (51, 3, True), (9, 100, False), (11, 100, False), (9, 1000, False), (11, 1000, True)],
)
def test_a_few_late_clients_are_judged_by_the_worst_and_many_by_p99(
    late_ms: float, clients: int, suspect: bool
) -> None:
    late = [JoinedConnection(client(connect=late_ms, closed=99), None) for _ in range(clients)]
    assert ("clients_late" in codes(result(late))) is suspect


def test_lateness_is_measured_against_slow_answers() -> None:
    slow = client(connect=60, connected=61, greeted=62, closed=3000, messages=[(0, 62, 2000)])
    assert "clients_late" not in codes(result([JoinedConnection(slow, None)]))  # 60 ms beside 2 s


def test_a_greeted_client_without_a_server_record_is_suspect_only_where_records_were_kept() -> None:
    bare = JoinedConnection(client(connected=1, greeted=2, closed=3), None)
    kept = JoinedConnection(client(connected=1, greeted=2, closed=3), server(1, 2, 3))
    assert codes(result([bare, kept]))["records_missing"] == "suspect"
    assert "records_missing" not in codes(result([bare]))


def test_the_worst_reason_comes_first_and_decides() -> None:
    found = verdict(result(outcome="cancelled", records_lost=2), placement="thread")
    assert found["status"] == "invalid"
    assert [r["severity"] for r in found["reasons"]] == ["invalid", "suspect", "note", "note"]


def test_a_failures_detail_is_passed_on() -> None:
    died = result(outcome="failed", failure="worker_died", failure_detail="exit status -9")
    assert verdict(died)["reasons"][0]["detail"].endswith("exit status -9")
