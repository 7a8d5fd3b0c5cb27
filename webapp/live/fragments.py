"""Live fragments: the parts of pages that are fetched again while a page is open.

An event names fragments and their versions; script fetches each fragment whose version it does not have, with its own
view of it, and puts it in place. One stream carries the fragments of all tabs of a browser.

    lab/servers, lab/runs                     the lists on the dashboard and of the runs
    servers/{id}/state, …/now, …/minute       what a server is, its connections now, its last minute
    runs/{id}/page, …/progress, …/timeline    a run's whole page; its figures and its timeline while it runs

A version comes from counters and states. No rendering is made, or compared, to find out whether a fragment has changed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from fastapi.sse import KEEPALIVE_COMMENT
from starlette.concurrency import run_in_threadpool

from webapp.lab.change_feed import LAB, run_topic
from webapp.lab.lab import Lab
from webapp.live.server_events import UP
from webapp.live.streams import PING_S, PROCESS, KeepaliveTimer, format_event
from webapp.live.worker_lanes import WINDOW_S
from webapp.problems import NotFound
from webapp.schemas.resources import ServerResource

NAME = r"^(lab/(servers|runs)|servers/[1-9]\d{0,14}/(state|now|minute)|runs/[1-9]\d{0,14}/(page|progress|timeline))$"
GONE = "gone"  # the version of a fragment whose server or run was deleted
MAX_KEPT = 256  # fragments
MAX_VIEWS = 4  # renderings of one fragment
FAST_POLL_S, SLOW_POLL_S = 0.4, 1.0
CHECKED_S = 0.1  # for this time a version is taken as the newest


class Pace(NamedTuple):
    """How often a fragment gets a new version, and which share of the time its rendering takes at most: 1/`share`."""

    interval_s: float
    share: float


PACES = {
    "lab/servers": Pace(1.0, 20),
    "lab/runs": Pace(0.0, 20),
    "state": Pace(0.0, 20),
    "now": Pace(0.35, 40),  # together with the last minute a twentieth of the time: the same machine serves
    "minute": Pace(2.0, 40),
    "page": Pace(0.0, 20),
    "progress": Pace(0.35, 20),
    "timeline": Pace(1.0, 50),  # the run is measured while its timeline is drawn
}


class Condition(NamedTuple):
    """What a fragment's version depends on. A fragment that `is_moving` changes with time alone."""

    state: object
    is_moving: bool = False
    poll_s: float = PING_S  # how soon it can change without an event of the feed


@dataclass
class _Kept:
    """One fragment's version, and its renderings at that version by view."""

    pace: Pace
    version: int = 0
    state: object = None
    due_at: float = 0.0  # no new version before this time
    spent_until: float = 0.0  # nor before this one: rendering has used up its share of the time
    checked_at: float = 0.0
    views: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)  # one rendering at a time

    def advance(self, condition: Condition, numbers: Iterator[int]) -> float:
        """Take the next version if the fragment has changed; return in how many seconds a version can follow."""
        now = self.checked_at = time.monotonic()
        if not condition.is_moving and condition.state == self.state and self.version:
            return condition.poll_s
        due_in_s = max(self.due_at, self.spent_until) - now
        if due_in_s > 0:
            return due_in_s
        self.state, self.version, self.views = condition.state, next(numbers), {}
        self.due_at = now + self.pace.interval_s
        return condition.poll_s

    def draw(self, view: str, make: Callable[[], str]) -> str:
        with self.lock:
            views = self.views  # another dict from the next version on
            if view not in views:
                began = time.monotonic()
                text = make()
                took_s = time.monotonic() - began
                self.spent_until = max(self.spent_until, began) + self.pace.share * took_s
                if len(views) >= MAX_VIEWS:
                    views.pop(next(iter(views)))
                views[view] = text
            return views[view]


class LiveFragments:
    """Versions and renderings of live fragments, shared by all streams and tabs. Any thread may call its methods."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._lock = threading.Lock()  # guards what follows, but not the renderings
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._numbers = itertools.count(1)  # never repeated, so that a forgotten fragment gets a new version
        self._ended: dict[int, tuple[int, float]] = {}  # server: connections that have ended, and when that changed

    def versions(self, names: Collection[str]) -> tuple[dict[str, str], float]:
        """Return the fragments' versions, and the seconds after which one can change without an event of the feed."""
        find_server = cache(self.lab.servers.get)
        found, poll_s = {}, PING_S
        for name in names:
            try:
                condition = self._condition(name, find_server)
            except NotFound:
                found[name] = GONE
                continue
            with self._lock:
                kept = self._keep(name)
                poll_s = min(poll_s, kept.advance(condition, self._numbers))
            found[name] = f"{PROCESS}-{kept.version}"
        return found, poll_s

    def render(self, name: str, view: str, make: Callable[[], str]) -> tuple[str, str]:
        """Return the fragment's version, and its rendering for this view, made by `make` unless it is there already.

        Raises:
            NotFound: the server or run was deleted.
        """
        with self._lock:
            kept = self._keep(name)
            is_checked = time.monotonic() - kept.checked_at < CHECKED_S  # a stream has just named this version
            version = f"{PROCESS}-{kept.version}"
        if not is_checked:
            version = self.versions([name])[0][name]
        return version, make() if version == GONE else kept.draw(view, make)

    def _keep(self, name: str) -> _Kept:
        kind = name if name in PACES else name.rpartition("/")[2]
        kept = self._kept.setdefault(name, _Kept(PACES[kind]))
        self._kept.move_to_end(name)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return kept

    # --- what a version depends on -------------------------------------------------------------------------------

    def _condition(self, name: str, find_server: Callable[[int], ServerResource]) -> Condition:
        what, *rest = name.split("/")
        if what == "servers":
            return self._server_condition(find_server(int(rest[0])), rest[1])
        if what == "runs":
            return self._run_condition(int(rest[0]), rest[1])
        version = self.lab.feed.version(LAB)
        return Condition(version) if rest == ["runs"] else self._list_condition(version)

    def _list_condition(self, version: int) -> Condition:
        servers = self.lab.servers.all()
        figures = [(s.stats.waiting, s.stats.in_service, sum(s.stats.outcomes.values())) for s in servers if s.stats]
        is_up = any(server.state in UP for server in servers)
        return Condition((version, figures), poll_s=SLOW_POLL_S if is_up else PING_S)

    def _server_condition(self, server: ServerResource, part: str) -> Condition:
        stats = server.stats
        is_up = server.state in UP
        if part == "state":
            state = server.state, server.run_ids, server.address
            return Condition(state, poll_s=SLOW_POLL_S if is_up else PING_S)
        if part == "minute":
            return Condition(server.state, is_up, SLOW_POLL_S if is_up else PING_S)
        figures = stats and (stats.waiting, stats.in_service, stats.accept_queue, stats.threads_alive, stats.events)
        return Condition((server.state, figures), is_up and self._is_busy(server), FAST_POLL_S if is_up else PING_S)

    def _is_busy(self, server: ServerResource) -> bool:
        """Whether connections are open, or have ended within the minute that is drawn."""
        stats = server.stats
        if stats is None:
            return False
        ended, now = sum(stats.outcomes.values()), time.monotonic()
        with self._lock:
            known, since = self._ended.get(server.id, (0, -WINDOW_S))
            if ended != known:
                self._ended[server.id] = known, since = ended, now
        return bool(stats.waiting or stats.in_service or stats.accept_queue) or now - since < WINDOW_S

    def _run_condition(self, run_id: int, part: str) -> Condition:
        version = self.lab.feed.version(run_topic(run_id))
        if not version:
            self.lab.runs.get(run_id)  # or NotFound
        if part == "page":
            return Condition(version)
        is_running = self.lab.runs.is_running(run_id)
        # The place of a queued run changes when another run ends.
        return Condition((version, self.lab.feed.version(LAB)), is_running, FAST_POLL_S if is_running else PING_S)


async def fragment_events(fragments: LiveFragments, names: Collection[str]) -> AsyncGenerator[bytes, None]:
    """Yield the versions of the named fragments, then those that have changed, until the lab shuts down.

    However many changes there were since the previous event, each fragment is in the next one once, with its newest
    version.
    """
    feed, interval_s = fragments.lab.feed, fragments.lab.settings.push_interval_s
    topics = {LAB, *(run_topic(int(name.split("/")[1])) for name in names if name.startswith("runs/"))}
    sent: dict[str, str] = {}
    keepalive = KeepaliveTimer()
    poll_s = PING_S
    while not feed.is_closed:
        seen = feed.version(*topics)
        if poll_s < PING_S:  # nothing but counters is read
            versions, poll_s = fragments.versions(names)
        else:
            versions, poll_s = await run_in_threadpool(fragments.versions, names)
        changed = {name: version for name, version in versions.items() if sent.get(name) != version}
        if changed:
            yield format_event("fragments", json.dumps(changed, separators=(",", ":")), seen)
            sent |= changed
            keepalive.restart()
        await asyncio.sleep(interval_s if poll_s > 2 * interval_s else max(interval_s, poll_s))
        if poll_s > 2 * interval_s:
            await feed.wait(topics, seen, poll_s - interval_s)
        if keepalive.is_due():
            yield KEEPALIVE_COMMENT
