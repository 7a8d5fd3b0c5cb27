"""State of a run in progress for its viewers: latest figures, history, and the last known state of every client."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from coreserver.clients.load import Progress
from coreserver.clock import NS_PER_S, now_ns, seconds
from coreserver.hosting.host import ServerHost
from coreserver.records.client import ClientRecord
from coreserver.records.joined import join
from coreserver.reports.timeline_rows import TimelineRow, timeline_rows
from webapp.lab.run_history import Errors, Point, Points
from webapp.lab.run_phases import WORDS, Expectation, expectation, phase_at, queued_words
from webapp.lab.run_target import RunTarget
from webapp.schemas.resources import Reason
from webapp.schemas.run_progress import LiveServer, RunHistory, RunPhase, RunProgress, RunStage
from webapp.schemas.run_spec import RunSpec

_NUMBER = re.compile(r"\d+\Z")
BEGUN = ("connecting", "waiting", "in_service", "completed", "failed")
IN_FLIGHT = BEGUN[:3]


@dataclass(eq=False)
class LiveRun:
    """One queued or running run. The thread of the run queue writes, any thread reads and may call `stop`."""

    id: int
    spec: RunSpec
    target: RunTarget
    cancel: threading.Event = field(default_factory=threading.Event)
    cancelled_because: Reason | None = None  # set before `cancel`
    started_at: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)  # guards the fields below
    _phase: RunPhase = "starting"  # set by the run queue; while clients are active it follows from their progress
    _host: ServerHost | None = None
    _progress: Progress | None = None
    _clients: dict[str, ClientRecord] = field(default_factory=dict)
    _points: Points = field(default_factory=Points)
    _errors: Errors = field(default_factory=Errors)
    _expected: Expectation = field(init=False)

    def __post_init__(self) -> None:
        self._expected = expectation(self.spec.clients)

    def begin(self, host: ServerHost | None) -> None:
        """Record that the clients are about to start; `host` is None for an external server."""
        with self._lock:
            self._host, self._phase = host, "preparing"

    def report(self) -> None:
        """Record that all records are complete and the report is being built."""
        with self._lock:
            self._phase = "reporting"

    def take(self, progress: Progress) -> None:
        """Process one progress report of the clients."""
        at_s = seconds(progress.at_ns - progress.started_ns)
        with self._lock:
            self._progress, self._phase = progress, "measuring"
            known = self._clients
            ended = [row for row in progress.rows if (old := known.get(row.name)) is None or old.outcome is None]
            self._errors.take(ended, at_s)
            known.update((record.name, record) for record in progress.rows)
            if at_s >= 0 and self._points.is_due(at_s):
                self._points.add(_point(at_s, progress.counts, _server(self._host)))

    def stop(self, reason: Reason) -> None:
        """Request the end of the run; the first reason is kept."""
        with self._lock:
            self.cancelled_because = self.cancelled_because or reason
        self.cancel.set()

    def stage(self, before: int | None) -> RunStage:
        """Return the phase of the run; `before` is the number of runs that a queued one waits for."""
        expected = self._expected
        with self._lock:
            progress, phase = self._progress, self._phase
        if before is not None:
            phase = "queued"
        elif progress is not None and phase == "measuring":
            phase = phase_at(expected, seconds(now_ns() - progress.started_ns), progress.counts)
        words = WORDS[phase] if before is None else queued_words(before)
        return RunStage(
            phase=phase, words=words, before=before, expected_end_s=expected.end_s, is_about=expected.is_about
        )

    def progress(self) -> RunProgress | None:
        """Return the latest figures; None before the first progress report of the clients."""
        with self._lock:
            progress, host = self._progress, self._host
            if progress is None:
                return None
            messages_per_s, connections_per_s = self._points.rates()
            errors, not_shown = self._errors.newest(progress.counts.get("failed", 0))
        return RunProgress(
            elapsed_s=seconds(now_ns() - progress.started_ns),
            counts=dict(progress.counts),
            in_flight=sum(progress.counts.get(name, 0) for name in IN_FLIGHT),
            messages_per_s=messages_per_s,
            connections_per_s=connections_per_s,
            server=_server(host),
            errors=errors,
            errors_untold=not_shown,
        )

    def history(self) -> RunHistory:
        """Return the history so far."""
        with self._lock:
            return self._points.table()

    def timeline(self) -> tuple[list[TimelineRow], float | None]:
        """Return the present rows, and the time since the run's start in seconds."""
        with self._lock:
            progress, host, clients = self._progress, self._host, list(self._clients.values())
        if progress is None:
            return [], None
        groups = {group.name: place for place, group in enumerate(self.spec.clients)}
        clients.sort(key=lambda client: (groups.get(client.group, 0), _number(client.name)))
        seen = [*host.open_connections(), *host.recent()] if host is not None else []
        servers = {record.number: record for record in seen}
        current = [record for record in servers.values() if record.accepted_ns >= progress.started_ns]
        return timeline_rows(join(clients, current), progress.started_ns), (now_ns() - progress.started_ns) / NS_PER_S


def _server(host: ServerHost | None) -> LiveServer | None:
    if host is None:
        return None
    now = host.snapshot()
    return LiveServer(
        queue_depth=now.queue_depth,
        accept_queue=now.accept_queue,
        threads_alive=now.threads_alive,
        threads_busy=now.threads_busy,
    )


def _point(at_s: float, counts: Mapping[str, int], server: LiveServer | None) -> Point:
    return Point(
        at_s=at_s,
        messages=counts.get("messages", 0),
        begun=sum(counts.get(name, 0) for name in BEGUN),
        in_service=counts.get("in_service", 0),
        waiting=counts.get("waiting", 0),
        queue_depth=server.queue_depth if server else None,
        threads_alive=server.threads_alive if server else None,
    )


def _number(name: str) -> int:
    found = _NUMBER.search(name)
    return int(found.group()) if found else 0
