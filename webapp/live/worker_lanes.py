"""A server's workers as lanes: what each one does now, and when it was busy during the last minute.

A lane is a thread that serves: the acceptor, a worker of a pool, the thread of one client, or an event loop, which
serves many connections at the same time. The last minute has WIDTH units, the same for lanes and sparklines.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from coreserver.clock import NS_PER_S, now_ns
from coreserver.records.server import ConnectionRecord
from webapp.lab.server_snapshot import Look, Seen

WINDOW_S = 60
WIDTH = 600  # units of a tenth of a second
UNIT_NS = WINDOW_S * NS_PER_S // WIDTH
MAX_LANES = 65  # 64 workers and the acceptor
ACCEPTOR, WORKER = "acceptor", "worker-"

Span = tuple[int, int]  # nanoseconds
_DIGITS = re.compile(r"(\d+)")


def minute_ago() -> Seen:
    """Return a mark that makes a snapshot contain the last minute, and all events."""
    at_ns = now_ns() - WINDOW_S * NS_PER_S
    return Seen(at_ns, at_ns, event_ns=0)


@dataclass(frozen=True)
class Lane:
    """One worker now: `record` is the connection that it has served longest, None while it serves none."""

    name: str
    record: ConnectionRecord | None = None
    serving: int = 0

    @property
    def does(self) -> str:
        """What the worker does now."""
        if self.record is not None:
            return "serves"
        return "accepts" if self.name == ACCEPTOR else "idle"


@dataclass(frozen=True)
class Lanes:
    """The lanes that are shown, the number of further ones, and how many connections those serve."""

    shown: tuple[Lane, ...]
    more: int = 0
    more_serving: int = 0


def list_lanes(look: Look) -> Lanes:
    """Return the workers of this instant in the order of their names; none while the server is not up."""
    stats = look.server.stats
    if stats is None or look.server.address is None:
        return Lanes(())
    serving: dict[str, list[ConnectionRecord]] = defaultdict(list)
    for record in look.open:
        if record.started_ns is not None:
            serving[record.worker or ""].append(record)
    if stats.threads_busy is None:  # threads serve many connections at a time, and none of them ends before the stop
        idle = [name for name in look.worker_names if name not in serving]
    else:
        idle = _idle(look, serving, (stats.threads_alive or 0) - len(serving))
    lanes = [Lane(name, records[0], len(records)) for name, records in serving.items()]
    lanes += [Lane(name) for name in idle]
    lanes.sort(key=lambda lane: (not lane.name.startswith(ACCEPTOR), _natural(lane.name)))
    rest = lanes[MAX_LANES:]
    return Lanes(tuple(lanes[:MAX_LANES]), len(rest), sum(lane.serving for lane in rest))


def _idle(look: Look, serving: Mapping[str, object], alive: int) -> list[str]:
    """Return the names of the `alive` threads that serve no connection: the acceptor, and idle workers of a pool.

    A pool that grows continues the numbers of its first workers. Which workers remain when it shrinks is not known.
    Those that served last are the most likely ones.
    """
    is_listening = look.server.state == "listening"
    names = [ACCEPTOR] if is_listening and ACCEPTOR not in serving else []
    if not look.worker_names:
        return names
    alive -= sum(is_listening or name != ACCEPTOR for name in look.support_threads)
    last = (record.worker for record in reversed(look.ended) if (record.worker or "").startswith(WORKER))
    most = min(len(serving) + alive, look.max_threads or 0)
    grown = (f"{WORKER}{number}" for number in range(len(look.worker_names) + 1, most + 1))
    known = dict.fromkeys((*last, *look.worker_names, *grown))
    free = [name for name in known if name and name not in serving and name != ACCEPTOR]
    return names + free[: max(alive, 0)]


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(name)]


# --- when they were busy ---------------------------------------------------------------------------------------------


def busy_spans(ended: Iterable[ConnectionRecord], names: Iterable[str]) -> dict[str, list[Span]]:
    """Return when these workers served connections that have ended; spans less than a unit apart are joined."""
    joined: dict[str | None, list[Span]] = {name: [] for name in names}
    for record in ended:  # in the order of their ends
        spans, start, end = joined.get(record.worker), record.started_ns, record.finished_ns
        if spans is None or start is None or end is None:
            continue
        while spans and start - spans[-1][1] < UNIT_NS:
            earlier, later = spans.pop()
            start, end = min(start, earlier), max(end, later)
        spans.append((start, end))
    return {name: spans for name, spans in joined.items() if name is not None and spans}


def busy_path(spans: Iterable[Span], since_ns: int | None, at_ns: int) -> str:
    """Return the spans, and the one since `since_ns`, as an SVG path of bars with height 10; the right edge is now."""
    current = [] if since_ns is None else [(since_ns, at_ns)]
    bars = []
    for start, end in [*spans, *current]:
        left = max(WIDTH - (at_ns - start) / UNIT_NS, 0.0)
        right = WIDTH - (at_ns - end) / UNIT_NS
        if right > 0:
            bars.append(f"M{left:.0f} 0h{max(right - left, 1):.0f}v10h{-max(right - left, 1):.0f}z")
    return "".join(bars)
