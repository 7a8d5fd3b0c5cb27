"""One sample of the figures of a server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a server. Counts are those of its connections and threads; the other figures belong to its process.

    `accept_queue` is the length of the backlog: established connections that are not accepted; None if the listener is
    closed. `threads_*` and `queue_depth` are None if the design has no such figure. `listen_overflows` counts since
    boot in the whole network namespace; only the difference of two samples has a meaning.
    """

    at_ns: int
    waiting: int
    in_service: int
    threads_alive: int | None
    threads_busy: int | None
    queue_depth: int | None
    accept_queue: int | None
    cpu_s: float
    rss_bytes: int
    vms_bytes: int
    voluntary_switches: int
    involuntary_switches: int
    listen_overflows: int | None
