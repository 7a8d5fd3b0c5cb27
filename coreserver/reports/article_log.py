"""The clients' log in the format of the article, written after the run from the recorded times."""

from __future__ import annotations

import time
from collections.abc import Iterable

from coreserver.clock import NS_PER_S
from coreserver.records.client import ClientRecord, LogEvent, LogKind


def article_log(records: Iterable[ClientRecord], *, started_ns: int, started_wall_s: float) -> str:
    """Return the lines of all clients in order of time, such as `INFO:2017-09-20 06:31:56,632:conn1 connected...`.

    Args:
        records: the clients; events of the same instant keep the clients' order.
        started_ns: the start of the run on the monotonic clock.
        started_wall_s: the wall clock at that instant, Unix time; lines show it in the local time zone.
    """
    wall_zero_ns = round(started_wall_s * NS_PER_S) - started_ns
    events = [(event, record.name) for record in records for event in record.log]
    events.sort(key=lambda pair: pair[0].at_ns)
    return "".join(f"INFO:{_stamp(wall_zero_ns + event.at_ns)}:{name} {_words(event)}\n" for event, name in events)


def _stamp(wall_ns: int) -> str:
    """Return local date and time in the format of Python's logging."""
    whole_s, rest_ns = divmod(wall_ns, NS_PER_S)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(whole_s))},{rest_ns // 1_000_000:03d}"


def _words(event: LogEvent) -> str:
    match event.kind:
        case LogKind.CONNECTED:
            return "connected..."
        case LogKind.DISCONNECTING:
            return "disconnecting"
        case LogKind.SENDING | LogKind.RECEIVED:
            return f"{event.kind} {event.data!r}"
