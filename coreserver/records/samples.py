"""One sample of a server's own figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a server. Counts are of its own connections and threads, the rest is of its process.

    `accept_queue` is the kernel's: connections whose handshake is done and that nobody accepted yet; None where the
    listener is closed. `threads_*` and `queue_depth` are None where the design has no such notion. `listen_overflows`
    counts since boot and over the whole network namespace; the difference of two looks is what happened between them.
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
