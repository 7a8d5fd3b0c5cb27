"""The join of both sides, and the parts of a connection's time."""

import pytest

from coreserver.records.client import ClientOutcome, ClientRecord
from coreserver.records.joined import JoinedConnection, join
from coreserver.records.messages import table_of
from coreserver.reports.timing import Parts, lateness_ns, parts, response_ns, round_trip_ns
from tests.support.made_records import CLIENT_ADDRESS, client, server

MS = 1_000_000


def test_parts_add_up_to_the_whole() -> None:
    mine = client(due=0, connect=1, connected=3, greeted=116, closed=200)
    split = parts(JoinedConnection(mine, server(accepted=13, started=113, finished=201)))
    assert split == Parts(1 * MS, 2 * MS, 10 * MS, 100 * MS, 3 * MS, 84 * MS)
    assert sum(vars_of(split)) == 200 * MS


def test_early_accept_ends_the_connect() -> None:
    mine = client(due=0, connect=1, connected=9, greeted=10, closed=20)
    split = parts(JoinedConnection(mine, server(accepted=4, started=5, finished=21)))
    assert split == Parts(1 * MS, 3 * MS, 0, 1 * MS, 5 * MS, 10 * MS)
    assert sum(vars_of(split)) == 20 * MS


def test_parts_not_reached_are_none() -> None:
    assert parts(JoinedConnection(client(connect=None), None)) == Parts(None, None, None, None, None, None)
    waiting = client(connect=1, connected=2, closed=30_000, outcome=ClientOutcome.TIMED_OUT)
    assert parts(JoinedConnection(waiting, None)) == Parts(1 * MS, 1 * MS, None, None, None, None)
    queued = parts(JoinedConnection(waiting, server(accepted=5)))
    assert queued == Parts(1 * MS, 1 * MS, 3 * MS, None, None, None)


def vars_of(split: Parts) -> list[int]:
    spans = (split.lateness, split.connect, split.backlog, split.queue, split.greeting, split.session)
    return [span for span in spans if span is not None]


def test_kth_connect_joins_kth_accept() -> None:
    clients = [client("late", connect=500, connected=501), client("early", connect=0, connected=1)]
    accepts = [server(700, number=9), server(300, number=8)]  # the first client had left before it was accepted
    joined = join(clients, accepts)
    assert [(c.client.name, c.server and c.server.number) for c in joined] == [("late", 9), ("early", 8)]


def test_foreign_connections_join_nothing() -> None:
    stranger = server(5, number=2, peer=("127.0.0.1", 50_000))
    before = server(1, number=1)  # the client's port, before the client's first connect
    joined = join([client(connect=3, connected=4)], [stranger, before])
    assert [c.server for c in joined] == [None]


def test_refused_attempt_takes_no_accept() -> None:
    refused = client("refused", connect=0, outcome=ClientOutcome.REFUSED)
    tried_again = client("again", connect=10, connected=11)
    joined = join([refused, tried_again], [server(12, number=1)])
    assert [(c.client.name, c.server is not None) for c in joined] == [("refused", False), ("again", True)]


def test_cancelled_attempt_finds_its_accept() -> None:
    cut_short = client("cut", connect=0, outcome=ClientOutcome.CANCELLED)
    assert join([cut_short], [server(1, number=1)])[0].server is not None


def test_client_without_socket_joins_nothing() -> None:
    assert join([client(connect=None, local=None)], [server(1)])[0].server is None


def test_joined_clients_keep_their_order() -> None:
    ports = [40_005, 40_003, 40_004]
    clients = [client(f"conn{port}", connected=1, local=(CLIENT_ADDRESS[0], port)) for port in ports]
    accepts = [server(2, number=port, peer=(CLIENT_ADDRESS[0], port)) for port in sorted(ports)]
    assert [c.server and c.server.number for c in join(clients, accepts)] == ports


def spans(record: ClientRecord) -> tuple[list[int], list[int], list[int]]:
    """Return response times, round trips and lateness of one client."""
    table = table_of([record])
    return response_ns(table).tolist(), round_trip_ns(table).tolist(), lateness_ns([record], table).tolist()


def test_response_starts_at_due() -> None:
    response, round_trip, _ = spans(client(messages=[(0, 20, 25), (30, 31, None), (40, 41, 43)]))
    assert (response, round_trip) == ([25 * MS, 3 * MS], [5 * MS, 2 * MS])


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (client(connect=2, greeted=900, messages=[(0, 901, 902), (950, 953, 960)]), [2 * MS, 3 * MS]),
        (client(connect=2, connected=3), [2 * MS]),  # known, although nothing was sent
        (client(connect=None), []),
    ],
)
def test_greeting_wait_is_no_lateness(record: ClientRecord, expected: list[int]) -> None:
    assert spans(record)[2] == expected


def test_warm_up_has_no_latency() -> None:
    record = client(due=0, connect=1, messages=[(0, 1, 5), (50, 52, 55), (100, 103, 109)], warm_up=100)
    assert spans(record) == ([9 * MS], [6 * MS], [3 * MS])


def test_lateness_knows_each_first_message() -> None:
    clients = [client(due=k, connect=k + 1, messages=[(k, 5, 6), (7, 9, 10)]) for k in range(2)]
    assert lateness_ns(clients, table_of(clients)).tolist() == [1 * MS, 1 * MS, 2 * MS, 2 * MS]
