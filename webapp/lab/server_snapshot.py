"""Snapshot of a server: its resource, its open connections, and the records since the previous snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from coreserver.clock import now_ns
from coreserver.hosting.host import ServerHost
from coreserver.models import MODELS
from coreserver.records.samples import Sample
from coreserver.records.server import ConnectionRecord, Event
from webapp.schemas.resources import ServerResource


@dataclass(frozen=True)
class Seen:
    """The newest records that a reader has. Records of a child process may arrive after later ones of this process."""

    ended_ns: int
    sample_ns: int
    event_ns: int


@dataclass(frozen=True)
class Look:
    """A server at one instant; `ended`, `samples` and `events` are those that are new to the reader, oldest first.

    `life` identifies one start of the server: it is the same object until the next start. `worker_names`,
    `support_threads` and `max_threads` are the facts about the design.
    """

    at_ns: int
    server: ServerResource
    life: object = None
    details: Mapping[str, str] = field(default_factory=dict)
    worker_names: tuple[str, ...] = ()
    support_threads: tuple[str, ...] = ()
    max_threads: int | None = None
    open: tuple[ConnectionRecord, ...] = ()
    ended: tuple[ConnectionRecord, ...] = ()
    samples: tuple[Sample, ...] = ()
    events: tuple[Event, ...] = ()

    def seen(self, before: Seen) -> Seen:
        """Return the newest records that the reader has after this snapshot."""
        return Seen(
            max([record.finished_ns or 0 for record in self.ended], default=before.ended_ns),
            max([sample.at_ns for sample in self.samples], default=before.sample_ns),
            max([event.at_ns for event in self.events], default=before.event_ns),
        )


def look_at(server: ServerResource, host: ServerHost | None, seen: Seen) -> Look:
    """Take a snapshot of a server. Its host is None before its first start."""
    at_ns = now_ns()
    if host is None:
        return Look(at_ns, server)
    design = MODELS[host.config.model]
    newest = takewhile(lambda record: (record.finished_ns or 0) > seen.ended_ns, reversed(host.recent()))
    return Look(
        at_ns=at_ns,
        server=server,
        life=host,
        details=dict(host.details),
        worker_names=design.worker_names(host.config),
        support_threads=design.support_threads,
        max_threads=design.max_threads(host.config),
        open=tuple(host.open_connections()),
        ended=tuple(reversed([*newest])),
        samples=tuple(host.samples(seen.sample_ns + 1)),
        events=tuple(event for event in host.events() if event.at_ns > seen.event_ns),
    )
