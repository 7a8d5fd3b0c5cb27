"""The log in the article's format."""

import time
from collections.abc import Iterator

import pytest

from coreserver.records.client import LogEvent, LogKind
from coreserver.reports.article_log import article_log
from tests.support.made_records import ZERO_NS, at, client

WALL_S = 1_505_889_116.632  # 2017-09-20 06:31:56.632 UTC


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_utc")
def test_lines_of_clients_are_merged_by_time() -> None:
    first, second = client("conn1"), client("conn2")
    first.log = [
        LogEvent(at(0), LogKind.CONNECTED),
        LogEvent(at(0.9), LogKind.SENDING, b"^abc$de^abte$f"),
        LogEvent(at(38), LogKind.RECEIVED, b"bcd\x00'"),
        LogEvent(at(2368), LogKind.DISCONNECTING),
    ]
    second.log = [LogEvent(at(0), LogKind.CONNECTED), LogEvent(at(367.99), LogKind.RECEIVED, b"b")]
    assert article_log([first, second], started_ns=ZERO_NS, started_wall_s=WALL_S).splitlines() == [
        "INFO:2017-09-20 06:31:56,632:conn1 connected...",
        "INFO:2017-09-20 06:31:56,632:conn2 connected...",
        "INFO:2017-09-20 06:31:56,632:conn1 sending b'^abc$de^abte$f'",
        """INFO:2017-09-20 06:31:56,670:conn1 received b"bcd\\x00'\"""",
        "INFO:2017-09-20 06:31:56,999:conn2 received b'b'",
        "INFO:2017-09-20 06:31:59,000:conn1 disconnecting",
    ]


def test_no_events_make_an_empty_log() -> None:
    assert article_log([client()], started_ns=ZERO_NS, started_wall_s=WALL_S) == ""
