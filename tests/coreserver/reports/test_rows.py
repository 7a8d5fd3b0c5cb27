"""A connection as a row of the table and of the timeline."""

from coreserver.records.client import ClientOutcome
from coreserver.records.joined import JoinedConnection
from coreserver.reports.connection_rows import connections_rows
from coreserver.reports.timeline_rows import TimelineRow, timeline_rows
from tests.support.made_records import ZERO_NS, client, server


def row(mine: JoinedConnection) -> TimelineRow:
    return timeline_rows([mine], ZERO_NS)[0]


def test_rows_have_seconds_from_start() -> None:
    mine = client(due=100, connect=101, connected=102, greeted=210, closed=300, messages=[(100, 210, 220)])
    assert connections_rows([JoinedConnection(mine, server(150, 200, 301))], ZERO_NS) == [
        {
            "name": "conn1",
            "group": "script",
            "due_s": 0.1,
            "connect_start_s": 0.101,
            "connected_s": 0.102,
            "greeted_s": 0.21,
            "closed_s": 0.3,
            "accepted_s": 0.15,
            "started_s": 0.2,
            "finished_s": 0.301,
            "worker": "worker-1",
            "outcome": "completed",
            "server_outcome": "completed",
            "detail": "",
            "bytes_sent": 0,
            "bytes_received": 0,
            "messages": 1,
        }
    ]


def test_unaccepted_client_has_nulls() -> None:
    (only,) = connections_rows([JoinedConnection(client(outcome=ClientOutcome.REFUSED), None)], ZERO_NS)
    assert {only[name] for name in ("connected_s", "accepted_s", "worker", "server_outcome")} == {None}


def test_served_row_ends_with_the_server() -> None:
    drawn = row(JoinedConnection(client(connected=1, greeted=201, closed=300), server(50, 200, 301)))
    assert drawn == TimelineRow("conn1", "script", 0.0, 0.001, 0.05, 0.2, 0.301, "completed", "worker-1")


def test_early_accept_is_moved_to_connect() -> None:
    drawn = row(JoinedConnection(client(connected=9, greeted=10, closed=20), server(4, 5, 21)))
    assert (drawn.connected_s, drawn.accepted_s, drawn.started_s) == (0.009, 0.009, 0.009)


def test_client_that_left_was_never_served() -> None:
    gone = client(connected=1, closed=300, outcome=ClientOutcome.TIMED_OUT)
    drawn = row(JoinedConnection(gone, server(400, 500, 501)))  # the server accepted the closed connection later
    assert drawn == TimelineRow("conn1", "script", 0.0, 0.001, None, None, 0.3, "timed_out", None)
    queued = row(JoinedConnection(gone, server(100, 500, 501)))
    assert (queued.accepted_s, queued.started_s, queued.finished_s) == (0.1, None, 0.3)


def test_greeting_stands_in_for_service_start() -> None:
    drawn = row(JoinedConnection(client(connected=1, greeted=200, closed=300), None))
    assert (drawn.accepted_s, drawn.started_s, drawn.finished_s) == (None, 0.2, 0.3)


def test_a_client_under_way_has_no_end() -> None:
    drawn = row(JoinedConnection(client(connected=1, greeted=3, outcome=None), server(1, 2)))
    assert (drawn.started_s, drawn.finished_s, drawn.outcome) == (0.002, None, None)
