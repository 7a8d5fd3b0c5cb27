"""A run as one file: an export can be read back, and invalid content is refused."""

from __future__ import annotations

import base64
import contextlib
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreserver.records.client import LogEvent, LogKind
from coreserver.records.codec import decode_connections, encode_connections
from coreserver.records.joined import JoinedConnection
from coreserver.records.record_format import FORMAT
from coreserver.reports.schema.definitions import SCHEMA_VERSION
from coreserver.reports.schema.report import ReportFile
from tests.support.made_records import ZERO_NS, at, pool_of_two, report_of, result
from webapp.exports.report_json import read_report, write_report
from webapp.problems import Invalid
from webapp.storage.run_files import Records

REPORT = report_of(result(pool_of_two(), ended=4500))
RECORDS = Records(FORMAT, ZERO_NS, 1_505_889_116.632, encode_connections(pool_of_two()))
DOCUMENT: dict[str, Any] = REPORT.model_dump(mode="json")
FILE: dict[str, Any] = json.loads(b"".join(write_report(REPORT, RECORDS)))


def refusal(document: Any) -> list[str]:
    """Return the fields that are named when this content is refused."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(Invalid) as found:
        read_report(body)
    assert found.value.detail
    return [error.field for error in found.value.errors]


def bundled(connections: list[JoinedConnection], **more: Any) -> dict[str, Any]:
    """Return the file with other connections."""
    data = base64.b64encode(encode_connections(connections)).decode()
    return {**FILE, "bundle": {**FILE["bundle"], "connections": data, **more}}


def test_export_is_read_back() -> None:
    found = read_report(json.dumps(FILE).encode())
    assert found.report == REPORT
    assert found.records == RECORDS
    assert decode_connections(found.records.connections) == pool_of_two()
    assert b"".join(write_report(found.report, found.records)) == b"".join(write_report(REPORT, RECORDS))


def test_report_alone_is_read() -> None:
    body = b"".join(write_report(REPORT, None))
    assert json.loads(body) == DOCUMENT
    assert (read_report(body).report, read_report(body).records) == (REPORT, None)


def test_export_fits_its_schema() -> None:
    ReportFile.model_validate(FILE)
    assert FILE["bundle"]["format"] == FORMAT


def test_server_id_becomes_its_settings() -> None:
    report = {**DOCUMENT, "run": {**DOCUMENT["run"], "config": {**DOCUMENT["run"]["config"], "server": {"id": 3}}}}
    config = read_report(json.dumps(report).encode()).config
    assert config["server"] == {**DOCUMENT["server"]["config"], "port": 0}
    assert read_report(json.dumps(DOCUMENT).encode()).config == DOCUMENT["run"]["config"]


# --- invalid files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b"", b"no JSON", b"[]", b"3", b"null", b'"report"', b"\xff\xfe", b"{", b"[" * 100_000]
)
def test_other_content_is_refused(body: bytes) -> None:
    refusal(body)


def test_newer_file_is_distinguished() -> None:
    with pytest.raises(Invalid, match="newer Serverlab"):
        read_report(json.dumps({**FILE, "schema_version": SCHEMA_VERSION + 1}).encode())
    with pytest.raises(Invalid, match="newer Serverlab"):
        read_report(json.dumps({**FILE, "bundle": {**FILE["bundle"], "format": FORMAT + 1}}).encode())
    assert refusal({**FILE, "schema_version": 2**70}) == ["schema_version"]
    assert refusal({**FILE, "schema_version": "1"}) == ["schema_version"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("run.state", "running"),
        ("run.label", "<script>alert(1)</script>"),
        ("run.label", "x" * 81),
        ("run.note", "\u0000"),
        ("run.note", "\ud800"),
        ("run.sentence", "x" * 5000),
        ("run.created_at", "0001-01-01T00:00:00.000+00:00"),
        ("run.config.server", []),
        ("verdict.reasons", [{"code": "x", "severity": "note", "detail": "x"}] * 300),
        ("totals.duration_s", 10**400),
        ("totals.connections.due", 2**60),
        ("latency.response_ms.mean", 1e300),
        ("series.rows", [[0.0]]),
        ("bundle.connections", 3),
        ("bundle.encoding", "pickle"),
        ("bundle.started_ns", 2**63),
        ("bundle.more", 1),
        ("environment.versions", {"x": {"deep": 1}}),
    ],
)
def test_invalid_field_is_named(path: str, value: Any) -> None:
    document = json.loads(json.dumps(FILE))
    *way, last = path.split(".")
    place = document
    for step in way:
        place = place[step]
    place[last] = value
    fields = refusal(document)
    assert any(field.startswith(path) for field in fields), fields


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 5000])
def test_numbers_outside_of_json_are_refused(text: str) -> None:
    body = json.dumps(FILE).replace('"duration_s": 4.4', f'"duration_s": {text}')
    assert text in body
    assert "totals.duration_s" in refusal(body.encode())


def test_deep_nesting_is_refused() -> None:
    assert refusal(json.dumps(FILE).replace('"details": {}', '"details": ' + '{"a":' * 100 + "1" + "}" * 100).encode())


@pytest.mark.parametrize(
    "data",
    [
        *("", "no base64!", base64.b64encode(b"no deflate").decode(), base64.b64encode(zlib.compress(b"[]")).decode()),
        base64.b64encode(zlib.compress(bytes(300_000_000), 9)).decode(),  # a deflate bomb
        base64.b64encode(RECORDS.connections[:-4]).decode(),
    ],
    ids=["empty", "text", "raw", "no records", "bomb", "cut"],
)
def test_unreadable_records_are_refused(data: str) -> None:
    assert refusal({**FILE, "bundle": {**FILE["bundle"], "connections": data}}) == ["bundle.connections"]


Change = Callable[[JoinedConnection], None]


def _of_client(**values: Any) -> Change:
    def change(joined: JoinedConnection) -> None:
        for name, value in values.items():
            setattr(joined.client, name, value)

    return change


def _of_server(**values: Any) -> Change:
    def change(joined: JoinedConnection) -> None:
        assert joined.server is not None
        for name, value in values.items():
            setattr(joined.server, name, value)

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(
            _of_client(due_ns=2**70),
            _of_client(closed_ns=-(2**60)),
            _of_client(greeted_ns=1.5),
            _of_client(due_ns=None),
        ),
        *(_of_client(closed_ns=ZERO_NS + 10**18), _of_client(bytes_sent="many"), _of_client(bytes_received=-3)),
        *(_of_client(name=7), _of_client(name="x" * 1000), _of_client(detail="\0"), _of_client(group=None)),
        *(_of_client(local=("h", 70000)), _of_client(local=(1, 1)), _of_client(measured_from_ns=2**63 - 1)),
        *(_of_client(measured_from_ns=True), _of_client(log=[LogEvent(2**70, LogKind.SENDING)])),
        *(_of_server(accepted_ns=None), _of_server(started_ns="now"), _of_server(finished_ns=2**70)),
        *(_of_server(worker=3), _of_server(number=-1), _of_server(peer=("h", True)), _of_server(messages=2**60)),
    ],
)
def test_impossible_values_are_refused(change: Change) -> None:
    connections = pool_of_two()
    change(connections[1])
    assert refusal(bundled(connections)) == ["bundle.connections"]


def test_impossible_message_times_are_refused() -> None:
    connections = pool_of_two()
    connections[0].client.messages = [replace(message, sent_ns=2**61) for message in connections[0].client.messages]
    assert refusal(bundled(connections)) == ["bundle.connections"]


def test_report_of_other_records_is_refused() -> None:
    assert "totals.connections.due" in refusal(bundled(pool_of_two()[:2]))
    later = pool_of_two()
    later[2].client.closed_ns = at(4401)
    wrong = ["totals.duration_s", "waits.session_ms.mean", "waits.session_ms.min"]  # the last one was the shortest
    assert refusal(bundled(later)) == [*wrong, *(f"groups.0.{name}" for name in wrong)]
    renamed = [JoinedConnection(replace(one.client, group="else"), one.server) for one in pool_of_two()]
    assert "groups" in refusal(bundled(renamed))


def test_miscounted_histogram_is_refused() -> None:
    none = {**FILE, "histograms": {**FILE["histograms"], "round_trip": None}}
    assert refusal(none) == ["histograms.round_trip"]
    broken = {**FILE, "histograms": {**FILE["histograms"], "response": "AAAA"}}
    assert refusal(broken) == ["histograms.response"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.sampled_from(sorted(FILE)), json_values)
def test_reader_survives_any_value(part: str, value: Any) -> None:
    with contextlib.suppress(Invalid):
        read_report(json.dumps({**FILE, part: value}).encode())


@given(st.binary(max_size=200), st.integers(0, 400))
def test_reader_survives_any_bytes(some: bytes, place: int) -> None:
    damaged = RECORDS.connections[:place] + some + RECORDS.connections[place + len(some) :]
    bundle = {**FILE["bundle"], "connections": base64.b64encode(damaged).decode()}
    with contextlib.suppress(Invalid):
        read_report(json.dumps({**FILE, "bundle": bundle}).encode())
