"""Scripted clients against correct and faulty peers over loopback."""

from __future__ import annotations

import socket
import threading

import pytest

from coreserver.clients.worker import source_addresses as target_module
from coreserver.clients.worker.context import WorkerContext
from coreserver.clients.worker.groups import GroupClients
from coreserver.clock import NS_PER_MS, NS_PER_S, now_ns
from coreserver.config.load import LoadConfig
from coreserver.records.client import ClientOutcome, ClientRecord, LogKind
from coreserver.records.message_columns import NOT_ANSWERED
from tests.support.peers import LoopFactory, Talk, cancel, honest, peer, play, reset, says, script


def play_one(talk: Talk, load: LoadConfig, loop_factory: LoopFactory | None = None) -> ClientRecord:
    with peer(talk) as address:
        (record,) = play(address, load, loop_factory)
    return record


# --- the honest way --------------------------------------------------------------------------------------------------


def test_stamps_of_a_script_are_in_order(loop: LoopFactory) -> None:
    load = script({"send": "^ab$x^c$"}, {"wait_s": 0.02}, {"send": "^d$"}, {"expect": "e"})
    record = play_one(honest, load, loop)
    assert (record.outcome, record.detail) == (ClientOutcome.COMPLETED, "")
    assert (record.bytes_sent, record.bytes_received) == (11, 1 + 4)
    assert record.local is not None
    stamps = [record.due_ns, record.connect_start_ns, record.connected_ns, record.greeted_ns, record.closed_ns]
    known = [stamp for stamp in stamps if stamp is not None]
    assert len(known) == 5
    assert known == sorted(known)


def test_messages_have_all_stamps(loop: LoopFactory) -> None:
    load = script({"wait_s": 0.01}, {"send": "^ab$^$"}, {"wait_s": 0.02}, {"send": "^c"}, {"send": "$"})
    record = play_one(honest, load, loop)
    first, empty, last = record.messages
    assert record.greeted_ns is not None
    assert first.due_ns == record.due_ns + 10 * NS_PER_MS  # the connection's due time and the pause, not the greeting
    assert empty.due_ns == record.greeted_ns + 10 * NS_PER_MS
    assert empty.sent_ns == empty.replied_ns == first.sent_ns
    assert last.due_ns == first.sent_ns + 20 * NS_PER_MS
    for message in record.messages:
        assert message.replied_ns is not None
        assert message.due_ns <= message.sent_ns <= message.replied_ns


def test_article_script_is_logged(loop: LoopFactory) -> None:
    record = play_one(honest, script({"send": "^ab$"}, {"expect": "bc"}), loop)
    assert [(event.kind, event.data) for event in record.log] == [
        (LogKind.CONNECTED, b""),
        (LogKind.SENDING, b"^ab$"),
        (LogKind.RECEIVED, b"bc"),
        (LogKind.DISCONNECTING, b""),
    ]
    assert record.log[0].at_ns == record.greeted_ns
    assert record.log[-1].at_ns == record.closed_ns


def test_nothing_is_sent_before_greeting() -> None:
    early: list[bytes] = []

    def slow_to_greet(sock: socket.socket) -> None:
        sock.settimeout(0.1)
        try:
            early.append(sock.recv(1))
        except TimeoutError:
            sock.settimeout(None)
        honest(sock)

    assert play_one(slow_to_greet, script({"send": "^a$"})).outcome is ClientOutcome.COMPLETED
    assert early == []


def test_client_waits_for_every_reply() -> None:
    """The script does not expect the reply."""
    record = play_one(honest, script({"send": "^" + "a" * 1000 + "$"}))
    assert record.outcome is ClientOutcome.COMPLETED
    assert record.bytes_received == 1001


def test_expectation_consumes_what_it_matches() -> None:
    """The first `bb` consumes two bytes of `bbb`, so the second does not match in it."""
    gate = threading.Event()

    def drip(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"*")
        assert sock.recv(100) == b"^aaa$"
        for _ in range(3):
            sock.sendall(b"b")
            gate.wait(0.02)
        assert sock.recv(100) == b"^c$"
        sock.sendall(b"d")
        sock.recv(1)

    load = script(
        {"send": "^aaa$"}, {"expect": "bb"}, {"send": "^c$"}, {"expect": "bd"}, {"expect": "b"}, timeout_s=0.2
    )
    record = play_one(drip, load)
    assert record.outcome is ClientOutcome.TIMED_OUT
    assert record.detail == "no progress for 0.2 s with 0 reply bytes missing, expecting b'b'"
    assert all(message.replied_ns for message in record.messages)


def test_large_send_waits_for_slow_peer(loop: LoopFactory) -> None:
    def late(sock: socket.socket) -> None:
        threading.Event().wait(0.1)
        honest(sock)

    payload = "x" * 65000
    record = play_one(late, script(*[{"send": f"^{payload}$"}] * 100), loop)
    assert record.outcome is ClientOutcome.COMPLETED
    assert record.bytes_sent == 100 * 65002
    assert record.bytes_received == 1 + 100 * 65000
    assert len(record.messages) == 100


def test_clients_are_due_when_group_starts() -> None:
    load = LoadConfig.model_validate(
        {
            "clients": [
                {"kind": "script", "name": "now", "count": 2, "script": [{"send": "^a$"}]},
                {"kind": "script", "name": "later", "start_s": 0.1, "script": [{"send": "^a$"}]},
            ]
        }
    )
    with peer(honest) as address:
        first, second, later = play(address, load)
    assert [record.name for record in (first, second, later)] == ["now-conn1", "now-conn2", "later-conn1"]
    assert first.due_ns == second.due_ns == later.due_ns - NS_PER_S // 10
    assert later.connect_start_ns is not None
    assert later.connect_start_ns >= later.due_ns


def test_source_addresses_are_used_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_module, "MAX_PER_SOURCE_ADDRESS", 2)
    with peer(honest) as address:
        records = play(address, script({"send": "^a$"}, count=5))
    sources = [record.local[0] for record in records if record.local]
    assert sources == ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.3"]


def test_ipv6_target_is_reached(loop: LoopFactory) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 loopback here")

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            honest(sock)

    thread = threading.Thread(target=serve)
    thread.start()
    with listener:
        (record,) = play(listener.getsockname()[:2], script({"send": "^a$"}), loop)
    thread.join()
    assert record.outcome is ClientOutcome.COMPLETED
    assert record.local is not None
    assert record.local[0] == "::1"


# --- wrong bytes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replies", "detail"),
    [
        pytest.param([b"HTTP/1.1 400"], "expected the greeting b'*', received b'HTTP/1.1 400'", id="no greeting"),
        pytest.param([b"*b"], "reply byte 1: expected nothing, received b'b'", id="a reply to nothing"),
    ],
)
def test_wrong_greeting_is_corrupted(replies: list[bytes], detail: str, loop: LoopFactory) -> None:
    record = play_one(says(*replies), script({"send": "^a$"}), loop)
    assert (record.outcome, record.detail) == (ClientOutcome.CORRUPTED, detail)
    assert record.bytes_sent == 0
    assert list(record.messages) == []


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        pytest.param(b"bcX", "reply byte 3: expected b'd', received b'X'", id="wrong"),
        pytest.param(b"bd", "reply byte 2: expected b'cd', received b'd'", id="missing"),
        pytest.param(b"bcd!" + b"?" * 20, f"reply byte 4: expected nothing, received b'!{'?' * 15}'…", id="too many"),
    ],
)
def test_wrong_reply_byte_ends_client(reply: bytes, detail: str, loop: LoopFactory) -> None:
    record = play_one(says(b"*", reply), script({"send": "^a$^bc$"}, {"wait_s": 5.0}), loop)
    assert (record.outcome, record.detail) == (ClientOutcome.CORRUPTED, detail)
    first, second = record.messages
    assert first.replied_ns is not None  # its reply was right
    assert (second.replied_ns is not None) == reply.startswith(b"bcd")
    assert record.log[-2].data == reply


# --- peers that leave or are silent ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("greeting", "leave", "outcome", "detail"),
    [
        (b"", socket.socket.close, ClientOutcome.REFUSED, "closed by the peer without a greeting"),
        (b"", reset, ClientOutcome.RESET, "ECONNRESET while waiting for the greeting"),
        (b"*", socket.socket.close, ClientOutcome.RESET, "closed by the peer with 1 reply byte missing"),
        (b"*", reset, ClientOutcome.RESET, "ECONNRESET with 1 reply byte missing"),
    ],
    ids=["close before the greeting", "reset before the greeting", "close", "reset"],
)
def test_early_close_is_reported(
    greeting: bytes, leave: Talk, outcome: ClientOutcome, detail: str, loop: LoopFactory
) -> None:
    attached = threading.Event()

    def talk(sock: socket.socket) -> None:
        sock.sendall(greeting)
        if greeting:
            sock.recv(100)
        else:
            attached.wait(5)  # not before: a reset during the connect has another outcome
        leave(sock)

    def when_connected(context: WorkerContext, groups: list[GroupClients]) -> None:
        connected = context.records[0].connected_ns if context.records else None
        if connected is not None and now_ns() > connected + 20 * NS_PER_MS:
            attached.set()
        else:
            context.timers.at(now_ns() + NS_PER_MS, lambda: when_connected(context, groups))

    with peer(talk) as address:
        (record,) = play(address, script({"send": "^a$"}, {"wait_s": 5.0}), loop, when_connected)
    assert (record.outcome, record.detail) == (outcome, detail)
    assert record.closed_ns is not None


def test_missing_greeting_times_out(loop: LoopFactory) -> None:
    record = play_one(says(b""), script({"send": "^a$"}, timeout_s=0.1), loop)
    assert (record.outcome, record.detail) == (
        ClientOutcome.TIMED_OUT,
        "no progress for 0.1 s while waiting for the greeting",
    )
    assert record.bytes_sent == 0


def test_missing_reply_times_out(loop: LoopFactory) -> None:
    record = play_one(says(b"*", b"b"), script({"send": "^ab$"}, timeout_s=0.1), loop)
    assert (record.outcome, record.detail) == (
        ClientOutcome.TIMED_OUT,
        "no progress for 0.1 s with 1 reply byte missing",
    )
    assert [message.replied_ns for message in record.messages] == [None]


def test_progress_defers_timeout() -> None:
    pause = threading.Event()

    def drip(sock: socket.socket) -> None:
        sock.sendall(b"*")
        sock.recv(100)
        for _ in range(10):
            sock.sendall(b"b")
            pause.wait(0.08)

    assert play_one(drip, script({"send": f"^{'a' * 10}$"}, timeout_s=0.5)).outcome is ClientOutcome.COMPLETED


def test_pause_of_script_is_no_timeout() -> None:
    load = script({"send": "^a$"}, {"wait_s": 0.3}, {"send": "^b$"}, timeout_s=0.1)
    assert play_one(honest, load).outcome is ClientOutcome.COMPLETED


def test_hanging_connect_times_out(loop: LoopFactory) -> None:
    """A full backlog drops the SYN."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        records = play(listener.getsockname(), script({"send": "^a$"}, count=3, timeout_s=0.2), loop)
    details = {record.detail for record in records}
    assert {record.outcome for record in records} == {ClientOutcome.TIMED_OUT}
    assert "no progress for 0.2 s while connecting" in details


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_cancel_ends_clients_in_any_state(loop: LoopFactory) -> None:
    load = LoadConfig.model_validate(
        {
            "clients": [
                {"kind": "script", "name": "busy", "script": [{"send": "^a$"}, {"wait_s": 60.0}]},
                {"kind": "script", "name": "later", "start_s": 60.0},
            ]
        }
    )

    def cancel_when_busy(context: WorkerContext, groups: list[GroupClients]) -> None:
        if NOT_ANSWERED in context.columns.stamps or not len(context.columns):
            context.timers.at(now_ns() + NS_PER_MS, lambda: cancel_when_busy(context, groups))
        else:
            cancel(context, groups)

    with peer(honest) as address:
        busy, later = play(address, load, loop, cancel_when_busy)
    assert (busy.outcome, busy.detail) == (ClientOutcome.CANCELLED, "cancelled with 0 reply bytes missing")
    assert busy.messages[0].replied_ns is not None
    assert (later.outcome, later.connect_start_ns) == (ClientOutcome.NOT_STARTED, None)
