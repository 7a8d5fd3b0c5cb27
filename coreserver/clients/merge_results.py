"""Merge the results of client processes into one, keeping every record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coreserver.clients.result_file import WorkerResult
from coreserver.records.client import GroupCount, LoadResult
from coreserver.records.messages import attach_rows, rows_of


@dataclass(frozen=True)
class Beginning:
    """The start of a run, which all its processes share."""

    started_ns: int
    started_wall_s: float
    schedule_sha256: str | None


def merge(beginning: Beginning, results: Sequence[WorkerResult]) -> LoadResult:
    """Return one result, its records ordered by group, client number and connection."""
    owners = [(place, process, k) for process, r in enumerate(results) for k, place in enumerate(r.places)]
    owners.sort()
    new_index = [np.empty(len(result.records), dtype=np.int64) for result in results]
    for index, (_, process, k) in enumerate(owners):
        new_index[process][k] = index
    records = [results[process].records[k] for _, process, k in owners]
    parts = []
    for result, index_of in zip(results, new_index, strict=True):
        rows = rows_of(result.stamps).copy()
        rows[:, 0] = index_of[rows[:, 0]]
        parts.append(rows)
    attach_rows(records, np.concatenate(parts))
    return LoadResult(
        started_ns=beginning.started_ns,
        started_wall_s=beginning.started_wall_s,
        ended_ns=max(result.ended_ns for result in results),
        cpu_s=sum(result.usage.cpu_s for result in results),
        records=records,
        complete=all(result.complete for result in results),
        groups=_sum_counts([result.groups for result in results if result.groups]),
        workers=tuple(result.usage for result in results),
        schedule_sha256=beginning.schedule_sha256,
        stopped_by=next((result.stopped_by for result in results if result.stopped_by), None),
    )


def _sum_counts(counts: Sequence[Sequence[GroupCount]]) -> tuple[GroupCount, ...]:
    return tuple(
        GroupCount(
            same[0].name,
            same[0].kind,
            sum(count.scheduled for count in same),
            sum(count.due for count in same),
            sum(count.started for count in same),
        )
        for same in zip(*counts, strict=True)
    )
