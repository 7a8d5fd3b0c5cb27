"""Reasons about the machine: limits of the kernel, other processes, other guests, and the server's placement."""

from __future__ import annotations

from collections.abc import Iterator

from coreserver.reports.schema.verdict_shape import VerdictReason
from coreserver.reports.verdict.evidence import NOT_OURS, Evidence, count_noun, reason

# Steal: CPU time that the hypervisor gave to other guests while this one needed it. On a quiet host it is well below
# 0.1 %; from 2 % on, one fiftieth of the work was delayed by guests that no figure here shows.
STEAL_SHARE = 0.02
# CPU time of processes that have no part in the run. Housekeeping never takes a tenth of all cores for long; on two
# cores that is a fifth of one, enough to preempt the server or the clients now and then.
OTHERS_SHARE = 0.10
JUDGED_FROM_S = 1.0  # the kernel counts in steps of 10 ms per core: in a shorter run a few steps would decide


def check_machine(evidence: Evidence) -> Iterator[VerdictReason]:
    """Yield reasons for full or capped backlogs, for a busy machine, and for the placement of the server."""
    yield from _accept_queue(evidence)
    yield from _other_load(evidence)
    yield from _place(evidence)


def _place(evidence: Evidence) -> Iterator[VerdictReason]:
    if evidence.server.placement == "thread":
        detail = "the server shares its interpreter with the control plane, so each can delay the other"
        yield reason("shared_interpreter", "note", detail)
    elif evidence.server.placement == NOT_OURS:
        detail = (
            "the server is external: backlog wait, queue wait and greeting wait are one wait, and its threads, "
            "CPU time and memory are not known"
        )
        yield reason("server_unseen", "note", detail)


def _accept_queue(evidence: Evidence) -> Iterator[VerdictReason]:
    if overflows := evidence.result.listen_overflows:
        detail = (
            f"the kernel dropped {count_noun(overflows, 'connect')} because a backlog of this network namespace was "
            "full; such a client retries after 1 s, 3 s and so on"
        )
        yield reason("listen_overflow", "suspect", detail)
    requested, effective = evidence.server.config.get("backlog"), evidence.server.backlog_effective
    if requested is not None and effective is not None and effective < requested:
        detail = f"the backlog of {requested:,} was capped at {effective:,} by net.core.somaxconn"
        yield reason("backlog_capped", "note", detail)


def _other_load(evidence: Evidence) -> Iterator[VerdictReason]:
    machine = evidence.result.machine
    if machine is None or machine.elapsed_s < JUDGED_FROM_S:
        return
    available_s = machine.elapsed_s * machine.cores
    steal = machine.steal_s / available_s
    if steal > STEAL_SHARE:
        detail = f"the host gave {steal:.1%} of this machine's CPU time to other guests while processes here needed it"
        yield reason("machine_busy", "suspect", detail)
    of_server_s = (evidence.server.cpu_s or 0.0) if evidence.server.placement == "process" else 0.0
    others = (machine.busy_s - machine.own_s - of_server_s) / available_s
    if others > OTHERS_SHARE:
        detail = (
            f"processes with no part in the run used {others:.0%} of the machine's {count_noun(machine.cores, 'core')}"
        )
        yield reason("machine_busy", "suspect", detail)
