"""Reasons about the load generator: whether it produced the load that the settings demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from coreserver.records.client import ClientOutcome
from coreserver.reports.schema.definitions import samples_needed
from coreserver.reports.schema.verdict_shape import Severity, VerdictReason
from coreserver.reports.verdict.evidence import Evidence, count_noun, reason
from coreserver.reports.verdict.lateness import check_lateness, tolerable_ms

# CPU time of one client process, as a share of one core. The wait in a queue with one server doubles between a
# utilisation of 0.8 and 0.9 (rho / (1 - rho) is 4 and 9). From 0.8 on, part of every latency is time in the client
# process; above 0.9 it is most of the latency of a fast server, and the throughput is the limit of the client.
BUSY_SHARE = 0.8
SATURATED_SHARE = 0.9
BUSY_FROM_S = 1.0  # of traffic: in less time, one garbage collection or a first import would decide

# Delay of the event loop at a timer of every 10 ms; it also rises in a process that does not get the CPU. A healthy
# loop is 0.1 ms late; a stall of the machine (25 to 40 ms) affects at most one sample in a hundred.
LAG_P99_MS = 20.0

# Below this no percentile above the median is reported, and the delay can be seen in the timeline.
FEW_MESSAGES = samples_needed(900)

NOT_STARTED_SHARE = 0.01  # of the due connections; if more are missing, the load was not the requested one

# The exhausted resource, by the first word in the detail of a client that never started.
EXHAUSTED = {
    "EMFILE": "file descriptors of a client process (RLIMIT_NOFILE)",
    "RLIMIT_NOFILE": "file descriptors of a client process (RLIMIT_NOFILE)",
    "ENFILE": "file descriptors of the whole machine (fs.file-max)",
    "EADDRNOTAVAIL": "local ports (net.ipv4.ip_local_port_range)",
    "ENOBUFS": "network buffers",
    "ENOMEM": "memory",
}


def check_load_generator(evidence: Evidence) -> Iterator[VerdictReason]:
    """Yield reasons for client processes that were saturated, late or limited, and for clients that never started."""
    yield from _saturated(evidence)
    yield from check_lateness(evidence)
    yield from _limited(evidence)
    if itself := evidence.totals.connections.self_connect:
        pronoun = "itself" if itself == 1 else "themselves"
        detail = f"{count_noun(itself, 'client')} connected to {pronoun}: the port has no listener"
        yield reason("self_connect", "suspect", detail)


def _saturated(evidence: Evidence) -> Iterator[VerdictReason]:
    workers = [worker for worker in evidence.result.load.workers if worker.elapsed_s >= BUSY_FROM_S]
    if not workers:
        return
    share = max(worker.cpu_s / worker.elapsed_s for worker in workers)
    advice = "use more client processes, or less load"
    if share > SATURATED_SHARE and not _server_is_saturated(evidence):
        detail = (
            f"a client process used {share:.0%} of a core, so the figures show its limit and not the server's; {advice}"
        )
        yield reason("client_saturated", "invalid", detail)
        return
    if share > BUSY_SHARE:
        detail = f"a client process used {share:.0%} of a core, so it caused part of the latency; {advice}"
        yield reason("clients_busy", "suspect", detail)
    lag, limit = max(worker.lag_p99_ms for worker in workers), tolerable_ms(evidence, LAG_P99_MS)
    if lag > limit:
        detail = (
            f"the event loop of a client process was late: p99 {lag:.1f} ms, the limit is {limit:.1f} ms; "
            "other processes use its CPU"
        )
        if evidence.latency.response_ms.count < FEW_MESSAGES:
            yield reason("clients_busy", "suspect", detail)
        else:
            yield reason("client_saturated", "invalid", detail)


def _server_is_saturated(evidence: Evidence) -> bool:
    """Whether the server used up its core as well, so that the figures show its limit too.

    Clients without think time saturate a fast server and themselves at the same time. One interpreter uses one core at
    a time; the server in C has no such limit.
    """
    used_s = evidence.server.cpu_s
    return used_s is not None and evidence.result.design.runs_on_one_core and used_s > SATURATED_SHARE * evidence.took_s


def _limited(evidence: Evidence) -> Iterator[VerdictReason]:
    """Yield reasons for clients that never started; a cancelled run has many of them, which are not judged."""
    load = evidence.result.load
    if load.stopped_by:
        detail = f"the clients started no more messages: {load.stopped_by}"
        yield reason("client_limited", "invalid", detail)
    if evidence.result.outcome != "completed":
        return
    idle = [record for record in load.records if record.outcome is ClientOutcome.NOT_STARTED]
    severity: Severity = "invalid" if len(idle) > NOT_STARTED_SHARE * len(load.records) else "suspect"
    words = (record.detail.partition(":")[0] for record in idle)
    short = Counter(EXHAUSTED[word] for word in words if word in EXHAUSTED)
    for what, clients in short.most_common():
        yield reason(
            "client_limited", severity, f"{count_noun(clients, 'client')} could not start because of exhausted {what}"
        )
    if others := len(idle) - short.total():
        yield reason("not_started", severity, f"{count_noun(others, 'client')} never tried to connect")
