"""The run in steps of 100 ms: events within each step, and counts and samples at its beginning."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import numpy as np

from coreserver.clock import NS_PER_S, milliseconds
from coreserver.records.client import ClientOutcome, ClientRecord
from coreserver.records.messages import MessageTable
from coreserver.records.run_result import RunResult
from coreserver.records.samples import Sample
from coreserver.reports.hdr_histograms import by_step
from coreserver.reports.percentiles import percentile_ms
from coreserver.reports.schema.definitions import COLUMNS, INTERVAL_S, PERCENTILES, SAMPLED
from coreserver.reports.schema.figures import Series
from coreserver.reports.timing import Nanoseconds

_STEP_NS = round(INTERVAL_S * NS_PER_S)


def series(result: RunResult, table: MessageTable) -> Series:
    """Return one row per step from the run's start to its end, the warm-up included, with the columns of `COLUMNS`.

    `started` counts greetings. `in_flight` counts connections that began to connect and are not closed, `waiting` those
    that are connected and not greeted; both come from the clients' records. `in_service` comes from the server's
    records and is None without them. `messages_in_flight` counts messages that were due and are not answered. Response
    times belong to the step in which their messages were due, so that a stalled server shows as the waits of all
    messages that were due meanwhile; None if there are too few. The sampled columns come from the nearest sample of the
    server within one step, None if there is none. They cover all connections of the server, also those of other
    clients. `listen_overflows` is the increase of the kernel's counter since the step before.

    Args:
        table: the messages of the run's connections.
    """
    start, load = result.load.started_ns, result.load
    steps = max(1, -(-(load.ended_ns - start) // _STEP_NS))
    instants = [start + k * _STEP_NS for k in range(steps)]
    clients = [connection.client for connection in result.connections]
    columns = [
        [k / 10 for k in range(steps)],
        *(_per_step(np.array(stamps, dtype=np.int64), start, steps) for stamps in _events(clients)),
        _count_open([(c.connect_start_ns, ended_at(c)) for c in clients], instants),
        _in_service(result, instants),
        _count_open(
            [(c.connected_ns, ended_at(c) if c.greeted_ns is None else c.greeted_ns) for c in clients], instants
        ),
        *_messages(table, start, steps),
        *_latency(table, start, steps),
        *zip(*_sampled(result.samples, instants), strict=True),
    ]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Series(interval_s=INTERVAL_S, columns=list(COLUMNS), rows=rows)


def ended_at(client: ClientRecord) -> int | None:
    """Return when a connection ended for its client: its close, or the last stamp of a failed one; None before that."""
    if client.closed_ns is not None or client.outcome is None:
        return client.closed_ns
    stamps = (client.greeted_ns, client.connected_ns, client.connect_start_ns)
    return next((stamp for stamp in stamps if stamp is not None), client.due_ns)


def _events(clients: Sequence[ClientRecord]) -> list[list[int]]:
    """Return the stamps of the events that COUNTED names."""
    ended = [(client.outcome, ended_at(client)) for client in clients if client.outcome is not None]
    return [
        [client.due_ns for client in clients],
        [client.greeted_ns for client in clients if client.greeted_ns is not None],
        [at for outcome, at in ended if at is not None and outcome is ClientOutcome.COMPLETED],
        [at for outcome, at in ended if at is not None and outcome is not ClientOutcome.COMPLETED],
    ]


def _per_step(stamps: Nanoseconds, start: int, steps: int) -> list[int]:
    place = np.clip((stamps - start) // _STEP_NS, 0, steps - 1)  # the last step includes the run's end
    counts: list[int] = np.bincount(place, minlength=steps).tolist()
    return counts


def _messages(table: MessageTable, start: int, steps: int) -> list[list[int]]:
    """Return the columns of MESSAGES, and the number of messages in flight at the beginning of each step.

    A message that was never answered is in flight until the run's end; `failed` shows when its client gave up.
    """
    replied = table.replied_ns[table.is_answered]
    due, sent, answered = (_per_step(stamps, start, steps) for stamps in (table.due_ns, table.sent_ns, replied))
    in_flight = np.cumsum(due) - np.cumsum(answered)
    return [due, sent, answered, [0, *in_flight[:-1].tolist()]]


def _latency(table: MessageTable, start: int, steps: int) -> list[list[float | None]]:
    """Return the columns of LATENCY."""
    answered = table.is_answered
    due = table.due_ns[answered]
    parts = [np.sort(part) for part in by_step(table.replied_ns[answered] - due, due - start, _STEP_NS, steps)]
    return [
        [percentile_ms(part, PERCENTILES["p50"]) for part in parts],
        [percentile_ms(part, PERCENTILES["p99"]) for part in parts],
        [milliseconds(int(part[-1])) if len(part) else None for part in parts],
    ]


def _count_open(spans: Iterable[tuple[int | None, int | None]], instants: Iterable[int]) -> list[int]:
    """Count the spans that contain each instant; a span without an end contains all later ones."""
    begun = [(begin, end) for begin, end in spans if begin is not None]
    begins = sorted(begin for begin, _ in begun)
    ends = sorted(max(begin, end) for begin, end in begun if end is not None)
    return [bisect_right(begins, at) - bisect_right(ends, at) for at in instants]


def _in_service(result: RunResult, instants: Sequence[int]) -> list[int] | list[None]:
    servers = [connection.server for connection in result.connections if connection.server is not None]
    if not servers:
        return [None] * len(instants)
    return _count_open([(record.started_ns, record.finished_ns) for record in servers], instants)


def _sampled(samples: Sequence[Sample], instants: Iterable[int]) -> list[list[float | int | None]]:
    """Return the columns of SAMPLED at each instant."""
    taken = [sample.at_ns for sample in samples]
    rows: list[list[float | int | None]] = []
    before = samples[0].listen_overflows if samples else None
    for at in instants:
        k = _nearest(taken, at)
        if k is None:
            rows.append([None] * len(SAMPLED))
            continue
        sample = samples[k]
        cpu = cpu_percent(samples[k - 1], sample) if k else None
        standing = (sample.threads_alive, sample.threads_busy, sample.queue_depth, sample.accept_queue)
        after = sample.listen_overflows
        grown = None if before is None or after is None else after - before
        rows.append([*standing, cpu, sample.rss_bytes, grown])
        before = after
    return rows


def _nearest(taken: Sequence[int], at: int) -> int | None:
    """Return the index of the sample nearest to `at`; None if it is a step or more away."""
    right = bisect_left(taken, at)
    near = [k for k in (right - 1, right) if 0 <= k < len(taken) and abs(taken[k] - at) < _STEP_NS]
    return min(near, key=lambda k: abs(taken[k] - at), default=None)


def cpu_percent(before: Sample, after: Sample) -> float | None:
    """Return the CPU time of the serving process between two samples, in percent of one core."""
    elapsed_ns = after.at_ns - before.at_ns
    return 100 * (after.cpu_s - before.cpu_s) * NS_PER_S / elapsed_ns if elapsed_ns > 0 else None
