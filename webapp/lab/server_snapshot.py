"""One look at a server: what it is, whom it serves, who waits, and what has happened since the look before."""

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
    """How far somebody has seen; another process's records may arrive a little after later ones of our own."""

    ended_ns: int
    sample_ns: int
    event_ns: int


@dataclass(frozen=True)
class Look:
    """A server at one instant; `ended`, `samples` and `events` are those not seen before, oldest first.

    `life` is the same object from a start of the server to its next one. `worker_names`, `support_threads` and
    `max_threads` are the facts about its design.
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
        """How far this look and those before it have seen."""
        return Seen(
            max([record.finished_ns or 0 for record in self.ended], default=before.ended_ns),
            max([sample.at_ns for sample in self.samples], default=before.sample_ns),
            max([event.at_ns for event in self.events], default=before.event_ns),
        )


def look_at(server: ServerResource, host: ServerHost | None, seen: Seen) -> Look:
    """What there is to see of a server, whose host is None before its first start."""
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
