"""A run as a trace that follows the rules of the Trace Event Format for events and tracks."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreserver.records.client import ClientOutcome, MessageRecord
from coreserver.records.joined import JoinedConnection
from tests.support.made_records import ZERO_NS, at, client, pool_of_two, report_of, result, sample, served, staircase
from webapp.exports.perfetto_trace import trace_file

Event = dict[str, Any]


def events_of(joined: list[JoinedConnection], **more: Any) -> list[Event]:
    """Return the events of a file after a check of the rules for each."""
    report = report_of(result(joined, ended=7000, **more))
    document = json.loads(b"".join(trace_file("Run 1: three", report, joined, ZERO_NS)))
    events: list[Event] = document["traceEvents"]
    for event in events:
        assert event["ph"] in ("M", "X", "C")
        assert type(event["pid"]) is int
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "process_sort_index", "thread_name", "thread_sort_index")
        else:
            assert event["ts"] >= 0
            assert event["name"]
        if event["ph"] == "X":
            assert event["dur"] >= 0
        if event["ph"] == "C":
            assert all(isinstance(value, int | float) for value in event["args"].values())
    return events


def tracks_of(events: Iterable[Event]) -> dict[tuple[int, int], list[Event]]:
    tracks: dict[tuple[int, int], list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            tracks[event["pid"], event["tid"]].append(event)
    return tracks


def names_of(events: Iterable[Event], what: str = "thread") -> dict[Any, str]:
    key = "tid" if what == "thread" else "pid"
    return {event[key]: event["args"]["name"] for event in events if event["name"] == f"{what}_name"}


def check_nesting(slices: list[Event]) -> None:
    """Check that slices of one track follow each other or are nested."""
    open_until: list[int] = []
    for event in sorted(slices, key=lambda event: (event["ts"], -event["dur"])):
        begin, end = round(event["ts"] * 1000), round((event["ts"] + event["dur"]) * 1000)
        while open_until and open_until[-1] <= begin:
            open_until.pop()
        assert not open_until or end <= open_until[-1], event
        open_until.append(end)


def test_tracks_are_named() -> None:
    events = events_of(pool_of_two())
    assert names_of(events, "process") == {1: "Run 1: three", 2: "workers", 3: "group script"}
    assert sorted(names_of(events).values()) == ["conn1", "conn2", "conn3", "worker-1", "worker-2"]
    names = names_of(events)
    served_by = {names[event["tid"]]: [] for event in events if event.get("cat") == "service"}  # type: ignore[var-annotated]
    for event in events:
        if event.get("cat") == "service":
            served_by[names[event["tid"]]].append(event["name"])
    assert served_by == {"worker-1": ["conn1", "conn3"], "worker-2": ["conn2"]}


def test_parts_of_a_connection_are_in_order() -> None:
    events = events_of(pool_of_two())
    tid = next(tid for tid, name in names_of(events).items() if name == "conn3")
    slices = [event for event in events if event["ph"] == "X" and event["tid"] == tid]
    assert [(event["name"], event["ts"], event["dur"]) for event in slices] == [
        ("conn3", 0.0, 4_400_000.0),
        ("connect", 0.0, 1000.0),
        ("backlog", 1000.0, 2000.0),
        ("queue", 3000.0, 2_200_000.0),
        ("greeting", 2_203_000.0, 1000.0),
        ("session", 2_204_000.0, 2_196_000.0),
        ("message", 2_204_000.0, 2000.0),
    ]
    assert slices[0]["args"]["outcome"] == "completed"
    assert slices[0]["args"].keys() >= {"bytes_sent", "bytes_received", "worker", "server_outcome"}


def test_tracks_are_distinct() -> None:
    tracks = tracks_of(events_of(staircase()))
    tids = [tid for _, tid in tracks]
    assert len(tids) == len(set(tids))
    for slices in tracks.values():
        check_nesting(slices)


def test_concurrent_services_get_further_tracks() -> None:
    joined = [served(f"conn{k}", due=k, accepted=k + 1, started=k + 1, closed=100 + k, worker="loop") for k in range(3)]
    events = events_of(joined)
    assert {name for name in names_of(events).values() if "loop" in name} == {"loop (1)", "loop (2)", "loop (3)"}
    for slices in tracks_of(events).values():
        check_nesting(slices)


def test_counters_come_from_the_series() -> None:
    events = events_of(staircase(), samples=[sample(0, cpu_s=0.0), sample(100, cpu_s=0.05, threads=7)])
    threads = [event for event in events if event["ph"] == "C" and event["name"] == "threads"]
    assert threads[1]["args"] == {"threads_alive": 7, "threads_busy": 1}
    assert threads[1]["ts"] == 100_000
    assert {event["name"] for event in events if event["ph"] == "C"} >= {"connections", "queues", "CPU % of a core"}


def test_external_server_has_one_wait() -> None:
    events = events_of([JoinedConnection(one.client, None) for one in pool_of_two()])
    assert not [event for event in events if event.get("cat") == "service"]
    assert {event["name"] for event in events if event.get("cat") == "part"} == {"connect", "wait", "session"}


def test_unstarted_client_has_a_track() -> None:
    idle = client("conn1", connect=None, outcome=ClientOutcome.NOT_STARTED)
    (only,) = [event for event in events_of([JoinedConnection(idle, None)]) if event["ph"] == "X"]
    assert (only["name"], only["dur"]) == ("conn1", 0.0)


def test_messages_in_flight_get_further_tracks() -> None:
    talks = client(connected=1, greeted=2, closed=50, messages=[(2, 2, 30), (3, 3, 20), (4, 4, None), (40, 40, 45)])
    events = events_of([JoinedConnection(talks, None)])
    assert sorted(names_of(events).values()) == ["conn1", "conn1 (2)", "conn1 (3)"]
    for slices in tracks_of(events).values():
        check_nesting(slices)


def test_number_of_messages_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.exports.perfetto_trace.MAX_MESSAGES", 100)
    joined = pool_of_two()[:2]
    for one in joined:
        one.client.messages = [MessageRecord(at(10), at(10 + k / 100), at(10 + k / 100)) for k in range(60)]
    body = json.loads(b"".join(trace_file("x", report_of(result([])), joined, ZERO_NS)))
    assert body["otherData"]["messages_shown_of_each_connection"] == 50
    assert sum(event.get("cat") == "message" for event in body["traceEvents"]) == 100


def test_text_of_clients_is_escaped() -> None:
    hostile = '"</script>\u2028'
    joined = [JoinedConnection(replace(one.client, name=hostile), one.server) for one in pool_of_two()]
    assert hostile in names_of(events_of(joined)).values()


stamps = st.none() | st.integers(0, 2000)


@settings(max_examples=40)
@given(st.lists(st.tuples(stamps, stamps, stamps, stamps, stamps, stamps), max_size=4))
def test_slices_never_cross(times: list[tuple[int | None, ...]]) -> None:
    joined = []
    for place, (connected, greeted, closed, accepted, started, finished) in enumerate(times):
        messages = [(5.0, 5.0 + place, 900.0), (6.0, 6.0, None)] if greeted is not None else []
        one = served(f"conn{place}", accepted=accepted or 0, started=started or 0, closed=closed or 1, worker="w-1")
        assert one.server is not None
        server = replace(one.server, finished_ns=None if finished is None else at(finished))
        mine = client(f"conn{place}", connected=connected, greeted=greeted, closed=closed, messages=messages)
        joined.append(JoinedConnection(mine, server))
    for slices in tracks_of(events_of(joined)).values():
        check_nesting(slices)
