"""A run as a trace in the Trace Event Format, which Perfetto and other viewers open.

    this run        counters: connections, threads, queues, CPU, messages in flight
    workers         one track per worker with the connections it served; more than one if it served several at a time
    group …         one track per connection: the parts of its time in order, its messages within its session

Times are microseconds from the run's start. Slices on one track follow each other or are nested, and never overlap
partly, as the format requires for complete events. Source: "Trace Event Format", Google, 2016.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any, NamedTuple

from coreserver.records.client import ClientRecord
from coreserver.records.joined import JoinedConnection
from coreserver.reports.schema.figures import Series
from coreserver.reports.schema.report import Report
from webapp.exports.row_streams import ROWS_PER_PIECE
from webapp.timeline.stacking import levels_of

Event = dict[str, Any]

# Process ids. No thread id is equal to one of them, because viewers treat such a thread as the main thread.
RUN, WORKERS, FIRST_GROUP = 1, 2, 3
FIRST_TRACK = 1001
MAX_MESSAGES = 50_000  # about 8 MB; viewers open larger files, but zooming in them is slow
COUNTERS = {
    "connections": ("in_service", "waiting", "in_flight"),
    "threads": ("threads_alive", "threads_busy"),
    "queues": ("queue_depth", "accept_queue"),
    "CPU % of a core": ("cpu_percent",),
    "messages": ("messages_in_flight",),
}


class Span(NamedTuple):
    """A span of time in nanoseconds from the run's start."""

    begin: int
    end: int


@dataclass
class _Tracks:
    """Allocates tracks and collects the events that name and order them."""

    given: int = 0
    events: list[Event] = field(default_factory=list)

    def add(self, pid: int, name: str) -> int:
        tid = FIRST_TRACK + self.given
        self.given += 1
        self.events += _named("thread", name, self.given, pid=pid, tid=tid)
        return tid

    def take_events(self) -> list[Event]:
        """Return the collected events and remove them."""
        events, self.events = self.events, []
        return events


def trace_file(title: str, report: Report, joined: Sequence[JoinedConnection], zero_ns: int) -> Iterator[bytes]:
    """Yield the file in pieces.

    Args:
        joined: the run's connections; may be empty.
        zero_ns: the run's start on their clock.
    """
    shown = _messages_shown(joined)
    head = {"displayTimeUnit": "ms", "otherData": {"run": title, "messages_shown_of_each_connection": shown}}
    yield json.dumps(head)[:-1].encode() + b',"traceEvents":[\n'
    events = trace_events(title, report, joined, zero_ns)
    separator = ""
    while piece := list(islice(events, ROWS_PER_PIECE)):
        yield (separator + ",\n".join(json.dumps(event, separators=(",", ":")) for event in piece)).encode()
        separator = ",\n"
    yield b"\n]}\n"


def trace_events(title: str, report: Report, joined: Sequence[JoinedConnection], zero_ns: int) -> Iterator[Event]:
    """Yield every event; the name of a track comes before its slices."""
    tracks, shown = _Tracks(), _messages_shown(joined)
    yield from _named("process", title, 0, pid=RUN)
    yield from _counters(report.series)
    yield from _named("process", "workers", 1, pid=WORKERS)
    yield from _workers(joined, zero_ns, tracks)
    groups: dict[str, int] = {}
    for one in joined:
        pid = groups.get(one.client.group)
        if pid is None:
            pid = groups[one.client.group] = FIRST_GROUP + len(groups)
            yield from _named("process", f"group {one.client.group}", pid, pid=pid)
        slices = list(_connection(one, zero_ns, pid, tracks, shown))
        yield from tracks.take_events()
        yield from slices


def _named(what: str, name: str, place: int, **where: int) -> list[Event]:
    return [
        {"ph": "M", "name": f"{what}_name", **where, "args": {"name": name}},
        {"ph": "M", "name": f"{what}_sort_index", **where, "args": {"sort_index": place}},
    ]


def _slice(name: str, category: str, span: Span, pid: int, tid: int, args: Mapping[str, Any] | None = None) -> Event:
    begin, end = span
    event = {"ph": "X", "name": name, "cat": category, "ts": begin / 1000, "dur": (end - begin) / 1000}
    return event | {"pid": pid, "tid": tid} | ({"args": dict(args)} if args else {})


# --- counters --------------------------------------------------------------------------------------------------------


def _counters(series: Series) -> Iterator[Event]:
    places = {name: place for place, name in enumerate(series.columns)}
    for row in series.rows:
        at_us = (row[0] or 0.0) * 1_000_000
        for counter, columns in COUNTERS.items():
            known = {name: row[places[name]] for name in columns if row[places[name]] is not None}
            if known:
                yield {"ph": "C", "name": counter, "pid": RUN, "tid": 0, "ts": at_us, "args": known}


# --- workers ---------------------------------------------------------------------------------------------------------


def _workers(joined: Iterable[JoinedConnection], zero_ns: int, tracks: _Tracks) -> Iterator[Event]:
    served: dict[str, list[tuple[Span, ClientRecord]]] = defaultdict(list)
    for one in joined:
        server = one.server
        if server is None or server.worker is None or server.started_ns is None:
            continue
        ended_ns = server.finished_ns or one.client.closed_ns or server.started_ns
        span = _span(server.started_ns - zero_ns, ended_ns - zero_ns)
        served[server.worker].append((span, one.client))
    for worker in sorted(served, key=_by_number):
        of_worker = sorted(served[worker], key=lambda pair: pair[0])
        lanes = list(levels_of(span for span, _ in of_worker))
        width = max(lanes) + 1
        tids = [tracks.add(WORKERS, worker if width == 1 else f"{worker} ({lane + 1})") for lane in range(width)]
        yield from tracks.take_events()
        for (span, client), lane in zip(of_worker, lanes, strict=True):
            args = {"group": client.group, "outcome": client.outcome, **_bytes(client)}
            yield _slice(client.name, "service", span, WORKERS, tids[lane], args)


def _by_number(worker: str) -> tuple[str, int, str]:
    """Sort key that puts worker-2 before worker-10."""
    stem = worker.rstrip("0123456789")
    digits = worker[len(stem) :][:9]
    return stem, int(digits or 0), worker


# --- connections -----------------------------------------------------------------------------------------------------


def _connection(
    one: JoinedConnection, zero_ns: int, pid: int, tracks: _Tracks, messages: int | None
) -> Iterator[Event]:
    client = one.client
    points = _points(one, zero_ns)
    whole = Span(points[0][1], points[-1][1])
    tid = tracks.add(pid, client.name)
    args = {"outcome": client.outcome, "detail": client.detail, "messages": len(client.messages), **_bytes(client)}
    if one.server is not None:
        args |= {"worker": one.server.worker, "server_outcome": one.server.outcome}
    yield _slice(client.name, "connection", whole, pid, tid, args)
    for (name, begin), (_, end) in pairwise(points):
        if end > begin:
            yield _slice(name, "part", Span(begin, end), pid, tid)
        if name == "session":
            yield from _messages(client, zero_ns, Span(begin, end), pid, tid, tracks, messages)


def _points(one: JoinedConnection, zero_ns: int) -> list[tuple[str, int]]:
    """Return the start of each part of the connection's time in ascending order, then its end.

    Parts that were not reached are left out, and so are the server's parts if its records are missing.
    """
    client, server = one.client, one.server
    stamps = [
        ("lateness", client.due_ns),
        ("connect", client.connect_start_ns),
        ("backlog" if server else "wait", client.connected_ns),
        ("queue", server.accepted_ns if server else None),
        ("greeting", server.started_ns if server else None),
        ("session", client.greeted_ns),
    ]
    known = [(name, max(at - zero_ns, 0)) for name, at in stamps if at is not None]
    end = known[-1][1] if client.closed_ns is None else client.closed_ns - zero_ns
    points: list[tuple[str, int]] = []
    now = 0
    for name, at in [*known, ("end", max(end, known[0][1]))]:
        now = max(now, at)
        points.append((name, now))
    last = max(end, known[0][1])  # the server can accept a connection that its client has closed already
    return [(name, min(at, last)) for name, at in points]


def _messages(
    client: ClientRecord, zero_ns: int, session: Span, pid: int, tid: int, tracks: _Tracks, most: int | None
) -> Iterator[Event]:
    """Yield the messages of a session; messages in flight at the same time get further tracks."""
    spans, args = [], []
    for message in islice(client.messages, most):
        ended = session.end if message.replied_ns is None else message.replied_ns - zero_ns
        begin = min(max(message.sent_ns - zero_ns, session.begin), session.end)
        spans.append(Span(begin, max(begin, min(ended, session.end))))
        waited_ns = None if message.replied_ns is None else message.replied_ns - message.due_ns
        args.append({"response_ms": None if waited_ns is None else waited_ns / 1_000_000})
    order = sorted(range(len(spans)), key=spans.__getitem__)
    lanes = list(levels_of(spans[place] for place in order))
    tids = [tid, *(tracks.add(pid, f"{client.name} ({lane + 1})") for lane in range(1, max(lanes, default=0) + 1))]
    for place, lane in zip(order, lanes, strict=True):
        yield _slice("message", "message", spans[place], pid, tids[lane], args[place])


def _messages_shown(joined: Sequence[JoinedConnection]) -> int | None:
    """Return the number of messages per connection that are written; None: all."""
    if sum(len(one.client.messages) for one in joined) <= MAX_MESSAGES:
        return None
    return MAX_MESSAGES // len(joined)


def _bytes(client: ClientRecord) -> dict[str, int]:
    return {"bytes_sent": client.bytes_sent, "bytes_received": client.bytes_received}


def _span(begin_ns: int, end_ns: int) -> Span:
    begin = max(begin_ns, 0)
    return Span(begin, max(begin, end_ns))
