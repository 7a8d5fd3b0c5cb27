"""Closed groups, open groups and personas against peers over loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from itertools import pairwise

import pytest

from coreserver.clients.schedule import plan_of
from coreserver.clients.worker.context import WorkerContext
from coreserver.clients.worker.groups import GroupClients
from coreserver.clock import NS_PER_MS, NS_PER_S, now_ns
from coreserver.protocols.article import GREETING, ProtocolEngine
from coreserver.records.client import ClientOutcome, ClientRecord
from coreserver.records.messages import table_of
from tests.support.peers import LoopFactory, cancel, honest, load, peer, play, played, says


def outcomes(records: list[ClientRecord]) -> set[ClientOutcome | None]:
    return {record.outcome for record in records}


# --- closed ----------------------------------------------------------------------------------------------------------


def test_closed_clients_wait_for_each_reply(loop: LoopFactory) -> None:
    records = played({"kind": "closed", "count": 3, "duration_s": 1.0, "message_bytes": 100}, loop=loop)
    assert [record.name for record in records] == ["conn1", "conn2", "conn3"]
    assert outcomes(records) == {ClientOutcome.COMPLETED}
    start_ns = records[0].due_ns
    for record in records:
        messages = list(record.messages)
        assert len(messages) > 2
        assert all(message.replied_ns for message in messages)
        assert messages[0].due_ns == record.due_ns
        for before, after in pairwise(messages):
            assert after.due_ns == before.replied_ns
            assert after.due_ns <= after.sent_ns
        assert messages[-1].due_ns < start_ns + NS_PER_S
        assert record.bytes_sent == 102 * len(messages)
        assert record.bytes_received == 1 + 100 * len(messages)
        assert record.log == []


def test_closed_clients_think(loop: LoopFactory) -> None:
    (record,) = played({"kind": "closed", "count": 1, "duration_s": 0.5, "think_s": 0.05}, loop=loop)
    messages = list(record.messages)
    assert 2 <= len(messages) <= 10
    for before, after in pairwise(messages):
        assert before.replied_ns is not None
        assert after.due_ns == before.replied_ns + 50 * NS_PER_MS
        assert after.sent_ns >= after.due_ns


@pytest.mark.parametrize(("count", "think_ms"), [(2, 10), (1, 10), (1, 0)])
def test_closed_clients_reconnect(count: int, think_ms: int) -> None:
    ends = {"duration_s": 0.4, "messages_per_connection": 3, "think_s": think_ms / 1000}
    records = played({"kind": "closed", "count": count, **ends})
    assert outcomes(records) == {ClientOutcome.COMPLETED}
    assert [record.name for record in records[:3]] == ["conn1", "conn1.2", "conn1.3"]
    firsts = [record for record in records if record.name.startswith("conn1")]
    assert {len(record.messages) for record in firsts[:-1]} == {3}
    next_due = [list(record.messages)[-1].replied_ns + think_ms * NS_PER_MS for record in firsts]  # type: ignore[operator]
    assert [record.due_ns for record in firsts[1:]] == next_due[:-1]
    assert next_due[-1] >= firsts[0].due_ns + 400 * NS_PER_MS


@pytest.mark.parametrize("messages_per_connection", [1, 2, None])
def test_think_times_continue_after_reconnect(messages_per_connection: int | None) -> None:
    group = {"kind": "closed", "count": 1, "duration_s": 0.4, "think_s": 0.02, "think": "exponential"}
    config = load({**group, "messages_per_connection": messages_per_connection})
    with peer(honest) as address:
        records = play(address, config)
    messages = [message for record in records for message in record.messages]
    assert len(messages) > 2
    pauses = [after.due_ns - (before.replied_ns or 0) for before, after in pairwise(messages)]
    assert pauses == plan_of(config.clients[0], config.seed).think_ns[: len(pauses)].tolist()


def test_due_message_is_completed() -> None:
    held = threading.Event()

    def slow(sock: socket.socket) -> None:
        sock.sendall(GREETING)
        engine = ProtocolEngine()
        while data := sock.recv(65536):
            held.wait(0.3)
            sock.sendall(engine.receive(data))

    (record,) = played({"kind": "closed", "count": 1, "duration_s": 0.1}, talk=slow)
    assert (record.outcome, len(record.messages)) == (ClientOutcome.COMPLETED, 1)
    assert record.messages[0].replied_ns is not None


def test_partial_and_large_replies_are_checked(loop: LoopFactory) -> None:
    def byte_by_byte(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(GREETING)
        engine = ProtocolEngine()
        while data := sock.recv(65536):
            for byte in engine.receive(data):
                sock.send(bytes([byte]))

    group = {"kind": "closed", "count": 2, "duration_s": 0.2}
    assert outcomes(played(group, talk=byte_by_byte, loop=loop)) == {ClientOutcome.COMPLETED}
    assert outcomes(played(group | {"message_bytes": 1 << 20}, loop=loop)) == {ClientOutcome.COMPLETED}


@pytest.mark.parametrize("spoil", [lambda r: r[:-1] + b"\x00", lambda r: r + b"x", lambda r: b"\x00" + r[1:]])
def test_one_wrong_byte_is_found(spoil: Callable[[bytes], bytes], loop: LoopFactory) -> None:
    def faulty(sock: socket.socket) -> None:
        sock.sendall(GREETING)
        engine = ProtocolEngine()
        for _ in range(5):
            sock.sendall(engine.receive(sock.recv(65536)))
        sock.sendall(spoil(engine.receive(sock.recv(65536))))
        sock.recv(65536)

    (record,) = played({"kind": "closed", "count": 1, "duration_s": 5.0}, talk=faulty, loop=loop)
    assert record.outcome is ClientOutcome.CORRUPTED
    assert sum(message.replied_ns is not None for message in record.messages) in (5, 6)


def test_warm_up_is_marked_and_kept() -> None:
    records = played({"kind": "closed", "count": 2, "duration_s": 0.8, "warm_up_s": 0.3, "think_s": 0.02})
    table = table_of(records)
    assert all(record.is_warm_up for record in records)
    boundary = records[0].due_ns + 300 * NS_PER_MS
    assert (table.warm_up == (table.due_ns < boundary)).all()
    assert 0 < table.warm_up.sum() < len(table)
    assert table.is_first.sum() == 2


# --- open ------------------------------------------------------------------------------------------------------------


def test_open_clients_ignore_slow_service() -> None:
    """The peer sends no greeting; a closed loop would stop at its first client."""
    group = {"kind": "open", "rate_per_s": 100.0, "duration_s": 0.5, "arrivals": "constant", "timeout_s": 0.3}
    records = played(group, talk=says(b""))
    assert outcomes(records) == {ClientOutcome.TIMED_OUT}
    zero = records[0].due_ns
    assert [record.due_ns - zero for record in records] == [number * 10 * NS_PER_MS for number in range(50)]
    for record in records:
        assert record.connect_start_ns is not None
        assert record.due_ns <= record.connect_start_ns < record.due_ns + 2 * NS_PER_S


def test_open_clients_follow_their_plan(loop: LoopFactory) -> None:
    config = load({"kind": "open", "rate_per_s": 300.0, "duration_s": 0.3, "messages_per_connection": 2}, seed=9)
    plan = plan_of(config.clients[0], 9)
    with peer(honest) as address:
        records = play(address, config, loop)
    zero = records[0].due_ns - plan.due_ns[0]
    assert [record.due_ns - zero for record in records] == list(plan.due_ns)
    assert outcomes(records) == {ClientOutcome.COMPLETED}
    assert {len(record.messages) for record in records} == {2}
    assert all(record.messages[0].due_ns == record.due_ns for record in records)


def test_groups_start_at_their_own_times() -> None:
    probe = {"kind": "open", "name": "probe", "rate_per_s": 50.0, "duration_s": 0.3, "arrivals": "constant"}
    crowd = {"kind": "closed", "name": "crowd", "count": 2, "duration_s": 0.2, "start_s": 0.1}
    records = played(probe, crowd)
    assert [record.group for record in records] == ["probe"] * 15 + ["crowd"] * 2
    assert records[0].name == "probe-conn1"
    assert records[15].due_ns - records[0].due_ns == 100 * NS_PER_MS
    assert outcomes(records) == {ClientOutcome.COMPLETED}


# --- personas --------------------------------------------------------------------------------------------------------


def test_idle_clients_hold_their_connection() -> None:
    records = played({"kind": "idle", "count": 3, "hold_s": 0.2})
    assert outcomes(records) == {ClientOutcome.COMPLETED}
    for record in records:
        assert record.closed_ns is not None
        assert record.closed_ns >= record.due_ns + 200 * NS_PER_MS
        assert (record.bytes_sent, record.bytes_received) == (0, 1)


def test_idle_client_without_greeting_times_out() -> None:
    (record,) = played({"kind": "idle", "hold_s": 0.1}, talk=says(b""))
    assert (record.outcome, record.detail) == (ClientOutcome.TIMED_OUT, "held for 0.1 s without a greeting")


def test_reset_client_sends_rst_in_a_message() -> None:
    seen: list[bytes] = []
    ends: list[type[BaseException]] = []

    def listen(sock: socket.socket) -> None:
        sock.sendall(GREETING)
        try:
            while data := sock.recv(65536):
                seen.append(data)
        except OSError as error:
            ends.append(type(error))

    (record,) = played({"kind": "reset", "after_bytes": 4}, talk=listen)
    assert (record.outcome, record.bytes_sent) == (ClientOutcome.COMPLETED, 4)
    assert ends == [ConnectionResetError]
    assert b"".join(seen)[:1] in (b"^", b"")


def test_half_closed_client_gets_whole_reply(loop: LoopFactory) -> None:
    after_eof: list[int] = []

    def patient(sock: socket.socket) -> None:
        sock.sendall(GREETING)
        engine = ProtocolEngine()
        reply = b""
        while data := sock.recv(65536):
            reply += engine.receive(data)
        after_eof.append(now_ns())
        sock.sendall(reply)

    (record,) = played({"kind": "half_close", "message_bytes": 3000}, talk=patient, loop=loop)
    assert (record.outcome, record.bytes_received) == (ClientOutcome.COMPLETED, 3001)
    assert record.closed_ns is not None
    assert record.closed_ns < after_eof[0]
    (message,) = record.messages
    assert message.replied_ns is not None
    assert message.replied_ns > after_eof[0]


def test_flood_resets_every_connection() -> None:
    greeted: list[bool] = []

    def greet(sock: socket.socket) -> None:
        sock.sendall(GREETING)
        greeted.append(True)
        sock.recv(1)

    records = played({"kind": "flood", "rate_per_s": 200.0, "duration_s": 0.25}, talk=greet)
    assert len(records) == 50
    assert outcomes(records) == {ClientOutcome.COMPLETED}
    assert all(record.connected_ns and record.greeted_ns is None for record in records)


# --- ends ------------------------------------------------------------------------------------------------------------


def test_cancel_ends_every_kind_of_client(loop: LoopFactory) -> None:
    groups = [
        {"kind": "closed", "name": "closed", "duration_s": 60.0, "count": 3},
        {
            "kind": "closed",
            "name": "thinking",
            "duration_s": 60.0,
            "count": 1,
            "think_s": 30.0,
            "messages_per_connection": 1,
        },
        {"kind": "open", "name": "open", "rate_per_s": 100.0, "duration_s": 60.0, "messages_per_connection": 1_000_000},
        {"kind": "idle", "name": "idle", "hold_s": 60.0},
        {"kind": "slow_writer", "name": "slow_writer", "duration_s": 60.0},
        {"kind": "slow_reader", "name": "slow_reader", "duration_s": 60.0},
        {"kind": "idle", "name": "later", "start_s": 60.0, "count": 2},
    ]
    began = now_ns()

    def cancel_soon(context: WorkerContext, made: list[GroupClients]) -> None:
        has_thought = any(record.group == "thinking" and record.outcome for record in context.records)
        if len(context.open) > 20 and has_thought:
            cancel(context, made)
        else:
            context.timers.at(now_ns() + NS_PER_MS, lambda: cancel_soon(context, made))

    with peer(honest) as address:
        records = play(address, load(*groups), loop, cancel_soon)
    assert now_ns() - began < 5 * NS_PER_S
    by_group = {record.group: record.outcome for record in records}
    assert by_group["closed"] is by_group["idle"] is by_group["slow_writer"] is ClientOutcome.CANCELLED
    assert by_group["thinking"] is ClientOutcome.COMPLETED
    assert by_group["later"] is ClientOutcome.NOT_STARTED
    assert sum(record.group == "open" for record in records) < 1000


def test_open_connections_are_limited() -> None:
    with peer(honest) as address:
        records = play(address, load({"kind": "idle", "count": 5, "hold_s": 0.1}), max_open=3)
    assert [record.outcome for record in records].count(ClientOutcome.COMPLETED) == 3
    refused = [record for record in records if record.outcome is ClientOutcome.NOT_STARTED]
    assert {record.detail for record in refused} == {"RLIMIT_NOFILE: 3 connections are open already"}
