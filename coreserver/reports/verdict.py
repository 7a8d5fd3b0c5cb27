"""Can the figures of a run be believed? A status, and every reason for it as a code and a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from coreserver.clock import seconds
from coreserver.reports.stats import PERCENTILES, samples_needed

if TYPE_CHECKING:
    from coreserver.run import RunResult

INVALID, SUSPECT, NOTE = "invalid", "suspect", "note"  # a note alone leaves a run valid

# The generator's own lag belongs to response time, so it must stay small beside it. A p99 rests on a hundred samples
# and may be judged strictly; the worst of a few clients only from where a person would see it in the timeline.
LATE_P99_MS = 10.0
LATE_MAX_MS = 50.0
LATE_SHARE = 0.05  # of the mean response time: less of a slow answer is nobody's concern

BUSY_SHARE = 0.8  # of one core; above it the client process itself queues what it should send
BUSY_FROM_S = 2.0  # in a shorter run the start of the process is most of its CPU time

FAILURES = {
    "cannot_start": "the machine refused what the run needs",
    "could_not_connect": "no client could connect to the server",
    "worker_died": "the client process ended before it delivered its result",
    "server_failed": "the server failed during the run",
    "server_stopped": "the server was stopped during the run",
}

Reason = dict[str, str]


def judge(
    result: RunResult, *, totals: Mapping[str, Any], latency: Mapping[str, Any], placement: str
) -> dict[str, Any]:
    """`{"status": "valid" | "suspect" | "invalid", "reasons": [{"code", "severity", "detail"}]}`, worst reasons first.

    Args:
        totals, latency: the whole run's, as the report has them.
        placement: of the server; "thread" means that it shares the control plane's interpreter.
    """
    found = [
        *_ending(result),
        *_replies(totals),
        *_records(result),
        *_generator(result, totals, latency),
        *_surroundings(result, placement),
        *_samples(latency),
    ]
    order = (INVALID, SUSPECT, NOTE)
    found.sort(key=lambda reason: order.index(reason["severity"]))
    worst = found[0]["severity"] if found else NOTE
    return {"status": "valid" if worst == NOTE else worst, "reasons": found}


def _reason(code: str, severity: str, detail: str) -> Reason:
    return {"code": code, "severity": severity, "detail": detail}


def _ending(result: RunResult) -> Iterator[Reason]:
    if result.outcome == "failed":
        code = result.failure or "failed"
        said = FAILURES.get(code, "the run failed")
        yield _reason(code, INVALID, f"{said}: {result.failure_detail}" if result.failure_detail else said)
    elif result.outcome == "cancelled":
        yield _reason("cancelled", SUSPECT, "the run was cancelled; the figures speak of the part that was done")
    elif not result.load.complete:
        yield _reason("incomplete", INVALID, "the client process was cut short; its last records are missing")


def _replies(totals: Mapping[str, Any]) -> Iterator[Reason]:
    wrong = totals["connections"]["corrupted"]
    if wrong:
        yield _reason(
            "corrupted_replies", INVALID, f"{_count(wrong, 'connection')} got bytes the protocol does not allow"
        )


def _records(result: RunResult) -> Iterator[Reason]:
    if result.records_lost:
        detail = f"{_count(result.records_lost, 'server record')} did not fit and went missing"
        yield _reason("records_lost", INVALID, detail)
    joined = [connection for connection in result.connections if connection.server is not None]
    bare = sum(c.server is None and c.client.greeted_ns is not None for c in result.connections)
    if bare and joined:  # with none at all nobody kept records, and the figures that rest on them are null
        detail = f"the server's record of {_count(bare, 'greeted connection')} was not there when the run ended"
        yield _reason("records_missing", SUSPECT, detail)
    if result.foreign:
        detail = f"the server also served {_count(result.foreign, 'connection')} of somebody else during the run"
        yield _reason("foreign_connections", SUSPECT, detail)


def _generator(result: RunResult, totals: Mapping[str, Any], latency: Mapping[str, Any]) -> Iterator[Reason]:
    counts = totals["connections"]
    if counts["not_started"] and result.outcome == "completed":
        yield _reason("not_started", SUSPECT, f"{_count(counts['not_started'], 'client')} never began to connect")
    if counts["self_connect"]:
        detail = f"{_count(counts['self_connect'], 'client')} connected to itself: the port has no listener"
        yield _reason("self_connect", SUSPECT, detail)
    lateness = latency["lateness_ms"]
    shown, late, floor = ("p99", lateness["p99"], LATE_P99_MS)
    if late is None:
        shown, late, floor = ("maximum", lateness["max"], LATE_MAX_MS)
    limit = max(floor, LATE_SHARE * (latency["response_ms"]["mean"] or 0.0))
    if late is not None and late > limit:
        detail = f"the clients were late by themselves: {shown} {late:.1f} ms, where {limit:.1f} ms would be tolerable"
        yield _reason("clients_late", SUSPECT, detail)
    took_s = seconds(result.load.ended_ns - result.load.started_ns)
    if took_s >= BUSY_FROM_S and result.load.cpu_s > BUSY_SHARE * took_s:
        share = 100 * result.load.cpu_s / took_s
        yield _reason("clients_busy", SUSPECT, f"the client process used {share:.0f} % of a core: it may be the limit")


def _surroundings(result: RunResult, placement: str) -> Iterator[Reason]:
    if result.listen_overflows:
        detail = (
            f"the kernel turned away {_count(result.listen_overflows, 'connect')} at full accept queues of this "
            "network namespace; such a client tries again after 1 s, 3 s and so on"
        )
        yield _reason("listen_overflow", SUSPECT, detail)
    if placement == "thread":
        detail = "the server shares its interpreter with the control plane, so each can hold up the other a little"
        yield _reason("shared_interpreter", NOTE, detail)


def _samples(latency: Mapping[str, Any]) -> Iterator[Reason]:
    answered = latency["response_ms"]["count"]
    short = [name for name, per_mille in PERCENTILES.items() if answered < samples_needed(per_mille)]
    if short:
        needed = samples_needed(PERCENTILES[short[0]])
        detail = f"{_count(answered, 'answered message')}: {_percentile(short[0])} and above need {needed:,} or more"
        yield _reason("too_few_samples", NOTE, detail)


def _percentile(name: str) -> str:
    return name.replace("_", ".")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
