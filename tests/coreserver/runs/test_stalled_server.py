"""A server that freezes for one second, under open load, closed load and with a small backlog."""

from __future__ import annotations

from benchmarks.stalled import CLOSED, OPEN, run_frozen
from coreserver.reports.schema.figures import Statistics
from coreserver.reports.schema.report import Report


def codes(report: Report) -> set[str]:
    return {reason.code for reason in report.verdict.reasons}


def slowest_ms(statistics: Statistics) -> float:
    assert statistics.max is not None
    return statistics.max


def test_open_load_shows_the_freeze() -> None:
    report, _ = run_frozen(OPEN, backlog=4096)
    assert report.totals.messages.verified == 1250
    assert 800 < (report.latency.response_ms.p99 or 0) < 5000  # on a busy machine the server catches up more slowly
    assert report.server.placement == "process"
    assert slowest_ms(report.waits.connect_ms) < 950  # no SYN was sent twice: the backlog took every connection


def test_closed_load_hardly_shows_it() -> None:
    brisk = CLOSED | {"think_s": 0.003}  # so that a busy machine too answers the 1,000 messages that a p99 takes
    report, _ = run_frozen(brisk, backlog=4096)
    latency = report.latency
    assert (latency.round_trip_ms.p99 or 0) < 700
    assert 800 < slowest_ms(latency.round_trip_ms) < 5000  # one message of each client was in flight


def test_small_backlog_delays_connects() -> None:
    report, _ = run_frozen(OPEN, backlog=64)
    assert slowest_ms(report.waits.connect_ms) > 950  # a lost SYN is sent again after a second
    assert "listen_overflow" in codes(report)
    assert (report.server.listen_overflows or 0) > 0
