"""The headline of a run."""

import pytest

from coreserver.records.client import ClientOutcome
from coreserver.records.joined import JoinedConnection
from coreserver.records.run_result import RunResult
from coreserver.reports.headline import format_seconds, write_headline
from tests.support.made_records import client, pool_of_two, result, served, server, staircase

ALL_AT_ONCE = [served(f"conn{k}", accepted=2, started=2, closed=2200) for k in (1, 2, 3)]
WRONG = JoinedConnection(client("conn3", outcome=ClientOutcome.CORRUPTED, connected=1, greeted=4, closed=9), None)
LEFT_WAITING = client("conn4", outcome=ClientOutcome.TIMED_OUT, connected=1, closed=30_001)


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (result(staircase()), "One client was served at a time; conn3 waited 4.4 s in the backlog."),
        (result(pool_of_two()), "2 of 3 clients were served at once; conn3 waited 2.2 s for a worker."),
        (result(ALL_AT_ONCE), "All 3 clients were served at once."),
        (result(ALL_AT_ONCE[:2]), "Both clients were served at once."),
        (result(ALL_AT_ONCE[:1]), "The one client was served."),
        (result(), "No client was due."),
        (
            result([*ALL_AT_ONCE[:2], WRONG]),
            "2 of 3 clients were served at once; 1 of 3 clients got a wrong reply.",
        ),
        (
            result([ALL_AT_ONCE[0], JoinedConnection(LEFT_WAITING, None)]),
            "1 of 2 clients was served; conn4 waited 30 s in the backlog and was never served; "
            "1 of 2 clients timed out.",
        ),
        (
            result([ALL_AT_ONCE[0], JoinedConnection(LEFT_WAITING, server(2))]),
            "1 of 2 clients was served; conn4 waited 30 s for a worker and was never served; 1 of 2 clients timed out.",
        ),
        (
            result([JoinedConnection(client(outcome=ClientOutcome.REFUSED), None)] * 2, outcome="failed",
                   failure="could_not_connect"),
            "No client could connect to the server; no client was served; 2 of 2 clients were refused.",
        ),
        (
            result(ALL_AT_ONCE, ended=1200, outcome="cancelled"),
            "The run was cancelled after 1.2 s; all 3 clients were served at once.",
        ),
        (
            result([JoinedConnection(client(outcome=ClientOutcome.NOT_STARTED), None)], ended=-99, outcome="cancelled"),
            "The run was cancelled before its first client was due; no client was served; 1 of 1 client never started.",
        ),
        (  # the time of the failure is not known: clients continue until they notice it
            result(ALL_AT_ONCE, ended=8000, outcome="failed", failure="server_failed"),
            "The server failed during the run; all 3 clients were served at once.",
        ),
        (
            result([JoinedConnection(client(outcome=None, connected=1, greeted=2), None)], ended=800,
                   outcome="failed", failure="worker_died"),
            "The client process died after 800 ms; the one client was served; 1 of 1 client has no recorded end.",
        ),
    ],
)  # fmt: skip
def test_headline_of_a_run(run: RunResult, says: str) -> None:
    assert write_headline(run) == says


def test_external_server_has_one_wait() -> None:
    late = JoinedConnection(client(connected=1, greeted=701, closed=900), None)
    assert (
        write_headline(result([late]), is_seen=False)
        == "The one client was served; conn1 waited 700 ms for the greeting."
    )
    left = "No client was served; conn4 waited 30 s for the greeting and was never served; 1 of 1 client timed out."
    assert write_headline(result([JoinedConnection(LEFT_WAITING, None)]), is_seen=False) == left


def test_longest_wait_names_the_group() -> None:
    first = served("conn1", accepted=2, started=2, closed=2200, group="early")
    second = served("conn1", accepted=2201, started=2201, closed=2400, group="second")
    assert "conn1 of second waited 2.2 s" in write_headline(result([first, second]))
    named = served("second-conn1", accepted=2201, started=2201, closed=2400, group="second")
    assert "; second-conn1 waited 2.2 s" in write_headline(result([first, named]))


@pytest.mark.parametrize(
    ("span_s", "says"),
    [(0.0451, "45 ms"), (0.9994, "999 ms"), (0.9996, "1.0 s"), (2.24, "2.2 s"), (9.94, "9.9 s"), (9.96, "10 s")],
)
def test_durations_have_two_digits(span_s: float, says: str) -> None:
    assert format_seconds(span_s) == says
