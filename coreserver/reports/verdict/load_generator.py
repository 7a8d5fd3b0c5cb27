"""Did the load generator do what was asked of it? Otherwise its own troubles would pass for the server's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from coreserver.records.client import ClientOutcome
from coreserver.reports.definitions import samples_needed
from coreserver.reports.schema import Severity, VerdictReason
from coreserver.reports.verdict.evidence import Evidence, count_noun, reason
from coreserver.reports.verdict.lateness import lateness, tolerable_ms

# CPU time of one client process, of one core. A queue before a single server doubles its wait between a utilisation of
# 0.8 and 0.9 (rho / (1 - rho) is 4 and 9): from 0.8 on part of every latency is the client's own queue, above 0.9 most
# of a fast server's is, and the throughput is the client's limit and not the server's.
BUSY_SHARE = 0.8
SATURATED_SHARE = 0.9
BUSY_FROM_S = 1.0  # of traffic: in less, collecting garbage once or a first import would decide

# Its event loop's lateness for a timer of every 10 ms, which a process that wants the CPU and does not get it shows as
# well. A healthy loop is 0.1 ms late, a stall of the machine (25 to 40 ms) touches one look in a hundred at the most.
LAG_P99_MS = 20.0

# Below this no percentile above the median is shown: a picture of a few clients can be looked at with its lag in mind.
FEW_MESSAGES = samples_needed(900)

NOT_STARTED_SHARE = 0.01  # of the due connections; with more missing it was another load than the one asked for

# What there was no more of, by the first word in the detail of a client that never began: the machine said so, or the
# client process kept its last descriptors for itself.
EXHAUSTED = {
    "EMFILE": "file descriptors of a client process (RLIMIT_NOFILE)",
    "RLIMIT_NOFILE": "file descriptors of a client process (RLIMIT_NOFILE)",
    "ENFILE": "file descriptors of the whole machine (fs.file-max)",
    "EADDRNOTAVAIL": "local ports (net.ipv4.ip_local_port_range)",
    "ENOBUFS": "network buffers",
    "ENOMEM": "memory",
}


def generator(evidence: Evidence) -> Iterator[VerdictReason]:
    """Clients that were saturated, late, limited by the machine, or never began."""
    yield from _saturated(evidence)
    yield from lateness(evidence)
    yield from _limited(evidence)
    if itself := evidence.totals.connections.self_connect:
        whom = "itself" if itself == 1 else "themselves"
        detail = f"{count_noun(itself, 'client')} connected to {whom}: the port has no listener"
        yield reason("self_connect", "suspect", detail)


def _saturated(evidence: Evidence) -> Iterator[VerdictReason]:
    workers = [worker for worker in evidence.result.load.workers if worker.elapsed_s >= BUSY_FROM_S]
    if not workers:
        return
    share = max(worker.cpu_s / worker.elapsed_s for worker in workers)
    advice = "ask for more client processes, or for less load"
    if share > SATURATED_SHARE and not _server_is_saturated(evidence):
        detail = f"a client process used {share:.0%} of a core: the figures show its limit, not the server's; {advice}"
        yield reason("client_saturated", "invalid", detail)
        return
    if share > BUSY_SHARE:
        detail = f"a client process used {share:.0%} of a core: part of the latency is its own; {advice}"
        yield reason("clients_busy", "suspect", detail)
    lag, limit = max(worker.lag_p99_ms for worker in workers), tolerable_ms(evidence, LAG_P99_MS)
    if lag > limit:
        detail = (
            f"a client process got to its work late: its event loop's lag had a p99 of {lag:.1f} ms, where "
            f"{limit:.1f} ms would be tolerable; something else has its CPU"
        )
        if evidence.latency.response_ms.count < FEW_MESSAGES:
            yield reason("clients_busy", "suspect", detail)
        else:
            yield reason("client_saturated", "invalid", detail)


def _server_is_saturated(evidence: Evidence) -> bool:
    """Whether the server had used up its core as well, so that its limit is in the figures beside the clients'.

    Clients that never think drive any quick server and themselves to the limit together. One interpreter serves on one
    core at a time; the server in C has no such limit.
    """
    used_s = evidence.server.cpu_s
    return used_s is not None and evidence.result.design.runs_on_one_core and used_s > SATURATED_SHARE * evidence.took_s


def _limited(evidence: Evidence) -> Iterator[VerdictReason]:
    """Clients that never began: because something ran out, or for a reason of their own. A cancelled run has many."""
    load = evidence.result.load
    if load.stopped_by:
        detail = f"the clients stopped beginning anything new: {load.stopped_by}"
        yield reason("client_limited", "invalid", detail)
    if evidence.result.outcome != "completed":
        return
    idle = [record for record in load.records if record.outcome is ClientOutcome.NOT_STARTED]
    severity: Severity = "invalid" if len(idle) > NOT_STARTED_SHARE * len(load.records) else "suspect"
    words = (record.detail.partition(":")[0] for record in idle)
    short = Counter(EXHAUSTED[word] for word in words if word in EXHAUSTED)
    for what, clients in short.most_common():
        yield reason("client_limited", severity, f"{count_noun(clients, 'client')} could not begin for want of {what}")
    if others := len(idle) - short.total():
        yield reason("not_started", severity, f"{count_noun(others, 'client')} never began to connect")
