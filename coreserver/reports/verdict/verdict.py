"""The verdict on a run: whether its figures are reliable, with every reason as a code and a sentence."""

from __future__ import annotations

from collections.abc import Iterator

from coreserver.reports.schema.definitions import PERCENTILES, samples_needed
from coreserver.reports.schema.verdict_shape import MAX_REASONS, Verdict, VerdictReason
from coreserver.reports.verdict.evidence import Evidence, count_noun, reason
from coreserver.reports.verdict.load_generator import check_load_generator
from coreserver.reports.verdict.machine import check_machine
from coreserver.reports.verdict.steady_state import check_drift, check_little_law

FAILURES = {
    "cannot_start": "the machine refused a resource that the run needs",
    "could_not_connect": "no client could connect to the server",
    "worker_died": "the client process ended before it delivered its result",
    "server_failed": "the server failed during the run",
    "server_stopped": "the server was stopped during the run",
}


def judge(evidence: Evidence) -> Verdict:
    """Return the status of a run and all reasons for it, the worst ones first."""
    found = [
        *_ending(evidence),
        *_replies(evidence),
        *_records(evidence),
        *check_load_generator(evidence),
        *check_machine(evidence),
        *check_little_law(evidence),
        *check_drift(evidence),
        *_samples(evidence),
    ]
    order = ("invalid", "suspect", "note")
    found.sort(key=lambda one: order.index(one.severity))
    worst = found[0].severity if found else "note"
    return Verdict(status="valid" if worst == "note" else worst, reasons=found[:MAX_REASONS])


def _ending(evidence: Evidence) -> Iterator[VerdictReason]:
    result = evidence.result
    if result.outcome == "failed":
        code = result.failure or "failed"
        text = FAILURES.get(code, "the run failed")
        yield reason(code, "invalid", f"{text}: {result.failure_detail}" if result.failure_detail else text)
    elif result.outcome == "cancelled":
        yield reason("cancelled", "suspect", "the run was cancelled; the figures cover the part that was executed")
    elif not result.load.complete or evidence.totals.connections.unfinished:
        yield reason("incomplete", "invalid", "the clients ended early, so their last records are missing")


def _replies(evidence: Evidence) -> Iterator[VerdictReason]:
    if wrong := evidence.totals.connections.corrupted:
        detail = f"{count_noun(wrong, 'connection')} got bytes that the protocol does not allow"
        yield reason("corrupted_replies", "invalid", detail)


def _records(evidence: Evidence) -> Iterator[VerdictReason]:
    result = evidence.result
    if result.records_lost:
        detail = f"{count_noun(result.records_lost, 'server record')} did not fit into the buffer and were lost"
        yield reason("records_lost", "invalid", detail)
    joined = [connection for connection in result.connections if connection.server is not None]
    bare = sum(c.server is None and c.client.greeted_ns is not None for c in result.connections)
    if bare and joined:  # without any, no records were kept, and the figures that need them are null
        detail = f"the server's record of {count_noun(bare, 'greeted connection')} is missing"
        yield reason("records_missing", "suspect", detail)
    # The last connections of a client process that died would count as foreign.
    if result.foreign and result.failure != "worker_died":
        detail = f"the server also served {count_noun(result.foreign, 'connection')} of other clients during the run"
        yield reason("foreign_connections", "suspect", detail)


def _samples(evidence: Evidence) -> Iterator[VerdictReason]:
    answered = evidence.latency.response_ms.count
    short = [name for name, per_mille in PERCENTILES.items() if answered < samples_needed(per_mille)]
    if short:
        needed = samples_needed(PERCENTILES[short[0]])
        shown = short[0].replace("_", ".")
        detail = f"{count_noun(answered, 'answered message')}: {shown} and above need {needed:,} or more"
        yield reason("too_few_samples", "note", detail)
