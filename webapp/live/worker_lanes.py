"""A server's workers as lanes: what each of them does now, and when it was busy during the last minute.

A lane is a thread that serves: the acceptor, a worker of a pool, the thread of one client, or an event loop, which
serves many at the same time. The last minute is drawn on a scale of WIDTH units, the same for lanes and charts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from coreserver.clock import NS_PER_S
from coreserver.records.server import ConnectionRecord
from webapp.lab.server_snapshot import Look

WINDOW_S = 60
WIDTH = 600  # units, so one is a tenth of a second
UNIT_NS = WINDOW_S * NS_PER_S // WIDTH
LANES_SHOWN = 65  # 64 workers and who accepts for them
ACCEPTOR, WORKER = "acceptor", "worker-"

Span = tuple[int, int]  # nanoseconds
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Lane:
    """One worker now: `record` is the connection it serves longest, None while it serves nobody."""

    name: str
    record: ConnectionRecord | None = None
    serving: int = 0

    @property
    def does(self) -> str:
        """What it does, in a word."""
        if self.record is not None:
            return "serves"
        return "accepts" if self.name == ACCEPTOR else "idle"


@dataclass(frozen=True)
class Lanes:
    """The lanes that are shown, and how many more there are with how many connections."""

    shown: tuple[Lane, ...]
    more: int = 0
    more_serving: int = 0


def lanes_of(look: Look) -> Lanes:
    """The workers of this instant, in the order of their names; none while the server is not up."""
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
    rest = lanes[LANES_SHOWN:]
    return Lanes(tuple(lanes[:LANES_SHOWN]), len(rest), sum(lane.serving for lane in rest))


def _idle(look: Look, serving: Mapping[str, object], alive: int) -> list[str]:
    """Return the names of the `alive` threads that serve no connection: the acceptor, and idle workers of a pool.

    A pool that grows continues the numbers of its first workers. Which workers are left when it shrinks is not known:
    those that served last are the likeliest.
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
    """When these workers served connections that have ended; spans less than a unit apart are one."""
    wanted = set(names)
    spans: dict[str, list[Span]] = defaultdict(list)
    for record in ended:
        if record.worker in wanted and record.started_ns is not None and record.finished_ns is not None:
            spans[record.worker].append((record.started_ns, record.finished_ns))
    return {name: _joined(sorted(found)) for name, found in spans.items()}


def _joined(spans: Sequence[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in spans:
        if joined and start - joined[-1][1] < UNIT_NS:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def busy_path(spans: Iterable[Span], since_ns: int | None, at_ns: int) -> str:
    """The spans, and one that began at `since_ns` and lasts, as an SVG path of bars 10 high; the right edge is now."""
    lasting = [] if since_ns is None else [(since_ns, at_ns)]
    bars = []
    for start, end in [*spans, *lasting]:
        left = max(WIDTH - (at_ns - start) / UNIT_NS, 0.0)
        right = WIDTH - (at_ns - end) / UNIT_NS
        if right > 0:
            bars.append(f"M{left:.0f} 0h{max(right - left, 1):.0f}v10h{-max(right - left, 1):.0f}z")
    return "".join(bars)
