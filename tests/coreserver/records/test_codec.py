"""Records to bytes and back."""

import json
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreserver.errors import RecordsIncomplete
from coreserver.records.client import ClientOutcome, ClientRecord, LogEvent, LogKind, MessageRecord
from coreserver.records.codec import Bounds, decode_connections, encode_connections, stored_format
from coreserver.records.joined import JoinedConnection
from coreserver.records.record_format import FORMAT
from coreserver.records.server import ConnectionRecord, ServerOutcome
from tests.support.made_records import pool_of_two

stamp = st.integers(0, 2**63)
near = st.integers(0, 2**60)  # a clock of nanoseconds gets there in 36 years
address = st.tuples(st.sampled_from(["127.0.0.1", "::1"]), st.integers(1, 65535))
clients = st.builds(
    ClientRecord,
    name=st.text(st.characters(exclude_categories=["Cs"])),
    group=st.just("script"),
    due_ns=stamp,
    connect_start_ns=st.none() | stamp,
    connected_ns=st.none() | stamp,
    greeted_ns=st.none() | stamp,
    closed_ns=st.none() | stamp,
    outcome=st.none() | st.sampled_from(ClientOutcome),
    detail=st.text(st.characters(exclude_categories=["Cs"])),
    local=st.none() | address,
    bytes_sent=stamp,
    bytes_received=stamp,
    messages=st.lists(st.builds(MessageRecord, near, near, st.none() | near), max_size=3).map(tuple),
    measured_from_ns=near,
    log=st.lists(st.builds(LogEvent, stamp, st.sampled_from(LogKind), st.binary()), max_size=3),
)
servers = st.builds(
    ConnectionRecord,
    number=stamp,
    peer=address,
    accepted_ns=stamp,
    started_ns=st.none() | stamp,
    finished_ns=st.none() | stamp,
    worker=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    outcome=st.none() | st.sampled_from(ServerOutcome),
    bytes_in=stamp,
    bytes_out=stamp,
    messages=stamp,
)


@given(st.lists(st.builds(JoinedConnection, clients, st.none() | servers), max_size=4))
def test_round_trip_loses_nothing(connections: list[JoinedConnection]) -> None:
    decoded = decode_connections(encode_connections(connections))
    assert decoded == connections
    for connection in decoded:  # equal strings would pass for the enumerations
        assert connection.client.outcome is None or isinstance(connection.client.outcome, ClientOutcome)
        assert all(isinstance(event.kind, LogKind) for event in connection.client.log)


def document(header: str, stamps: bytes = b"") -> bytes:
    return zlib.compress(struct.pack("<Q", len(header)) + header.encode() + stamps)


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1203])
def test_connections_keep_their_order(count: int) -> None:
    clients = [ClientRecord(f"conn{number}", "load", number) for number in range(count)]
    back = decode_connections(encode_connections([JoinedConnection(client, None) for client in clients]))
    assert [connection.client.name for connection in back] == [client.name for client in clients]


@pytest.mark.parametrize(
    "damaged",
    [
        *(b"", b"no deflate", zlib.compress(b"[]"), document("[]"), document(f'[{FORMAT}]\n[["x"]]')),
        *(document(f"[{FORMAT}]", b"odd"), document(f"[{FORMAT}]", bytes(8)), document(f"[{FORMAT},[]]")),
    ],
)
def test_damaged_bytes_are_refused(damaged: bytes) -> None:
    with pytest.raises(RecordsIncomplete):
        decode_connections(damaged)


def test_newer_format_is_refused() -> None:
    with pytest.raises(
        RecordsIncomplete, match=f"format {FORMAT + 1}, written by a newer Serverlab; .* formats up to {FORMAT}$"
    ):
        decode_connections(document(json.dumps([FORMAT + 1, []])))


def test_truncated_bytes_are_refused() -> None:
    with pytest.raises(RecordsIncomplete):
        decode_connections(encode_connections(pool_of_two())[:-3])


@pytest.mark.parametrize("bounds", [Bounds(inflated_bytes=1000), Bounds(line_bytes=500), Bounds(connections=499)])
def test_records_beyond_bounds_are_refused(bounds: Bounds) -> None:
    clients = [ClientRecord(f"conn{number}", "load", number) for number in range(1000)]
    data = encode_connections([JoinedConnection(client, None) for client in clients])
    with pytest.raises(RecordsIncomplete):
        decode_connections(data, bounds)
    assert len(decode_connections(data, Bounds(1_000_000, 100_000, 1000))) == 1000


def test_deflate_bomb_is_refused() -> None:
    bomb = zlib.compress(bytes(50_000_000))
    with pytest.raises(RecordsIncomplete, match="more than 1,000,000 bytes"):
        decode_connections(bomb, Bounds(inflated_bytes=1_000_000))


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(RecordsIncomplete, match="after its end"):
        decode_connections(encode_connections(pool_of_two()) + b"more")


def test_header_length_may_look_like_json() -> None:
    first_bytes = set()
    for length in range(256):
        connections = [JoinedConnection(ClientRecord("x" * length, "script", 0), None)]
        data = encode_connections(connections)
        first_bytes.add(zlib.decompress(data)[:1])
        assert decode_connections(data) == connections
        assert stored_format(data) == FORMAT
    assert b"[" in first_bytes


def test_stored_format_checks_the_whole() -> None:
    data = encode_connections(pool_of_two())
    assert stored_format(data) == FORMAT
    for damaged in (data[:-3], data[:-1] + bytes([data[-1] ^ 1]), b"", b"no deflate"):
        with pytest.raises(RecordsIncomplete):
            stored_format(damaged)
