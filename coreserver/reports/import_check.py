"""Checks of imported records: whether their values are possible, and whether they agree with the report.

`codec` reads any values into records. All code that draws, counts or prints them relies on what is checked here: whole
numbers whose differences do not overflow, stamps within a day of the run, and texts of bounded length.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from coreserver.clock import NS_PER_S
from coreserver.errors import RecordsIncomplete
from coreserver.records.client import ClientRecord
from coreserver.records.joined import JoinedConnection
from coreserver.records.message_columns import NOT_ANSWERED
from coreserver.records.messages import table_of
from coreserver.records.server import ConnectionRecord
from coreserver.reports.hdr_histograms import total_count
from coreserver.reports.schema.figures import Shape
from coreserver.reports.schema.report import Group, Report
from coreserver.reports.totals import latency, totals, waits

BEFORE_NS = 3600 * NS_PER_S  # of the run's start
AFTER_NS = 24 * 3600 * NS_PER_S
MAX_NAME = 400
MAX_TEXT = 4000
MAX_NUMBER = 2**53


def check_records(connections: Sequence[JoinedConnection], started_ns: int) -> None:
    """Raise RecordsIncomplete, with the number of the connection, for an impossible value."""
    within = range(started_ns - BEFORE_NS, started_ns + AFTER_NS)
    for number, joined in enumerate(connections):
        fault = _client_fault(joined.client, within)
        if fault is None and joined.server is not None:
            fault = _server_fault(joined.server, within)
        if fault:
            raise RecordsIncomplete(f"connection {number}: {fault} has an impossible value")
    table = table_of(joined.client for joined in connections)
    replied = table.replied_ns[table.replied_ns != NOT_ANSWERED]
    for stamps in (table.due_ns, table.sent_ns, replied):
        if np.any((stamps < within.start) | (stamps >= within.stop)):
            raise RecordsIncomplete("the time of a message is impossible")


def _client_fault(client: ClientRecord, within: range) -> str | None:
    """Return the name of the field with an impossible value, if any."""
    if not _is_instant(client.due_ns, within):
        return "due_ns"
    for name in ("connect_start_ns", "connected_ns", "greeted_ns", "closed_ns"):
        if not _is_stamp(getattr(client, name), within):
            return name
    for name in ("bytes_sent", "bytes_received"):
        if not _is_number(getattr(client, name)):
            return name
    if type(client.measured_from_ns) is not int or not 0 <= client.measured_from_ns < 2**62:
        return "measured_from_ns"
    for name, max_length in (("name", MAX_NAME), ("group", MAX_NAME), ("detail", MAX_TEXT)):
        if not _is_text(getattr(client, name), max_length):
            return name
    if client.local is not None and not _is_address(client.local):
        return "local"
    return None if all(_is_instant(event.at_ns, within) for event in client.log) else "log"


def _server_fault(server: ConnectionRecord, within: range) -> str | None:
    if not _is_instant(server.accepted_ns, within):
        return "accepted_ns"
    for name in ("started_ns", "finished_ns"):
        if not _is_stamp(getattr(server, name), within):
            return name
    for name in ("number", "bytes_in", "bytes_out", "messages"):
        if not _is_number(getattr(server, name)):
            return name
    if server.worker is not None and not _is_text(server.worker, MAX_NAME):
        return "worker"
    return None if _is_address(server.peer) else "peer"


def _is_stamp(value: object, within: range) -> bool:
    return value is None or _is_instant(value, within)


def _is_instant(value: object, within: range) -> bool:
    return type(value) is int and value in within


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value < MAX_NUMBER


def _is_text(value: object, max_length: int) -> bool:
    if type(value) is not str or len(value) > max_length or "\0" in value:
        return False
    try:
        value.encode()  # half of a surrogate pair cannot be encoded
    except UnicodeEncodeError:
        return False
    return True


def _is_address(value: tuple[object, object]) -> bool:
    host, port = value
    return _is_text(host, MAX_NAME) and type(port) is int and 0 <= port <= 65535


# --- agreement with the report ----------------------------------------------------------------------------------------


def disagreements(report: Report, connections: Sequence[JoinedConnection]) -> Iterator[str]:
    """Yield the dotted names of the report's figures that differ from those of these connections."""
    known = {group.name for group in report.groups}
    if any(joined.client.group not in known for joined in connections):
        yield "groups"
    yield from _figure_differences(report, connections, "")
    for place, group in enumerate(report.groups):
        members = [joined for joined in connections if joined.client.group == group.name]
        yield from _figure_differences(group, members, f"groups.{place}.")


def miscounted_histograms(report: Report) -> Iterator[str]:
    """Yield the dotted names of the histograms whose number of values differs from the report's count.

    Raises:
        RecordsIncomplete: a histogram cannot be read; the message begins with its name.
    """
    found, latency_of = report.histograms, report.latency
    for name, encoded, count in (
        ("response", found.response, latency_of.response_ms.count),
        ("round_trip", found.round_trip, latency_of.round_trip_ms.count),
    ):
        if total_count(encoded, f"histograms.{name}") != count:
            yield f"histograms.{name}"
    parts = enumerate(found.intervals.response)
    answered = sum(total_count(part, f"histograms.intervals.response.{place}") for place, part in parts)
    if answered != latency_of.response_ms.count:
        yield "histograms.intervals.response"


def _figure_differences(found: Report | Group, connections: Sequence[JoinedConnection], path: str) -> Iterator[str]:
    """Compare totals, latency and waits; the throughput is left out because it depends on the window."""
    table = table_of(joined.client for joined in connections)
    expected = totals(connections, table, None).model_copy(
        update={"throughput_messages_per_s": found.totals.throughput_messages_per_s}
    )
    yield from _differences(found.totals, expected, f"{path}totals.")
    yield from _differences(found.latency, latency(connections, table), f"{path}latency.")
    yield from _differences(found.waits, waits(connections), f"{path}waits.")


def _differences(found: Any, expected: Any, path: str) -> Iterator[str]:
    """Compare two parts of a report, without the optional figures that an older program did not write."""
    if isinstance(expected, Shape):
        for name, field in type(expected).model_fields.items():
            value = getattr(found, name)
            if field.is_required() or value is not None:
                yield from _differences(value, getattr(expected, name), f"{path}{name}.")
    elif found is None or expected is None:
        if found is not expected:
            yield path.rstrip(".")
    elif not math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9):
        yield path.rstrip(".")
