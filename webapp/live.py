"""A run in progress as its viewers see it: the latest figures, and every client as last heard of."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field

from coreserver.clients.process import Progress
from coreserver.clients.records import ClientRecord
from coreserver.clock import NS_PER_S, now_ns, seconds
from coreserver.host import ServerHost
from coreserver.reports.timeline_rows import TimelineRow, timeline_rows
from coreserver.reports.timing import join
from webapp.destination import Destination
from webapp.schemas import Reason, RunProgress, RunSpec
from webapp.server_entry import Claim

_NUMBER = re.compile(r"\d+\Z")


@dataclass(eq=False)
class LiveRun:
    """One queued or running run. The runner's thread writes, any thread reads."""

    id: int
    spec: RunSpec
    destination: Destination
    cancel: threading.Event = field(default_factory=threading.Event)
    cancelled_because: Reason | None = None  # set before `cancel`
    started_at: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)  # guards what follows
    _host: ServerHost | None = None
    _progress: Progress | None = None
    _clients: dict[str, ClientRecord] = field(default_factory=dict)

    @property
    def claim(self) -> Claim | None:
        """Its hold on a server of the lab."""
        return self.destination.claim

    def begin(self, host: ServerHost | None) -> None:
        """The clients are about to go to this server; None: to one that is not ours."""
        with self._lock:
            self._host = host

    def take(self, progress: Progress) -> None:
        """A line of the client process."""
        with self._lock:
            self._progress = progress
            self._clients.update((record.name, record) for record in progress.rows)

    def stop(self, reason: Reason) -> None:
        """Ask for its end; the first reason is the one that is kept."""
        with self._lock:
            self.cancelled_because = self.cancelled_because or reason
        self.cancel.set()

    def progress(self) -> RunProgress | None:
        """The latest figures; None before the first client was due."""
        with self._lock:
            progress = self._progress
        if progress is None:
            return None
        return RunProgress(elapsed_s=seconds(now_ns() - progress.started_ns), counts=dict(progress.counts))

    def timeline(self) -> tuple[list[TimelineRow], float | None]:
        """The rows of this instant, and its distance from the run's start in seconds."""
        with self._lock:
            progress, host, clients = self._progress, self._host, list(self._clients.values())
        if progress is None:
            return [], None
        groups = {group.name: place for place, group in enumerate(self.spec.clients)}
        clients.sort(key=lambda client: (groups.get(client.group, 0), _number(client.name)))
        seen = [*host.open_connections(), *host.recent()] if host is not None else []
        servers = {record.number: record for record in seen}
        ours = [record for record in servers.values() if record.accepted_ns >= progress.started_ns]
        return timeline_rows(join(clients, ours), progress.started_ns), (now_ns() - progress.started_ns) / NS_PER_S


def _number(name: str) -> int:
    found = _NUMBER.search(name)
    return int(found.group()) if found else 0
