"""A server that freezes for a second: an open load sees it, a closed one hardly, a small backlog makes it worse."""

from __future__ import annotations

from typing import Any

from benchmarks.stalled import CLOSED, OPEN, run_frozen


def codes(report: dict[str, Any]) -> set[str]:
    return {reason["code"] for reason in report["verdict"]["reasons"]}


def test_an_open_load_sees_the_freeze_in_its_response_times() -> None:
    report, _ = run_frozen(OPEN, backlog=4096)
    assert report["totals"]["messages"]["verified"] == 1250
    assert 800 < report["latency"]["response_ms"]["p99"] < 2000  # beside other tests catching up takes longer
    assert report["server"]["placement"] == "process"
    assert report["waits"]["connect_ms"]["max"] < 950  # no SYN was sent twice: the kernel's queue took everybody


def test_a_closed_load_hardly_sees_it() -> None:
    brisk = CLOSED | {"think_s": 0.003}  # so that a busy machine too answers the 1,000 messages that a p99 takes
    report, _ = run_frozen(brisk, backlog=4096)
    latency = report["latency"]
    assert latency["round_trip_ms"]["p99"] < 200
    assert 800 < latency["round_trip_ms"]["max"] < 1500  # one message of each client was under way


def test_a_small_backlog_turns_the_freeze_into_connects_of_a_second() -> None:
    report, _ = run_frozen(OPEN, backlog=64)
    assert report["waits"]["connect_ms"]["max"] > 950  # a lost SYN is sent again after a second
    assert "listen_overflow" in codes(report)
    assert report["server"]["listen_overflows"] > 0
