"""Spans of time side by side: which of them can stand on one line, so that no two on a line overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush


def levels_of(spans: Iterable[tuple[float, float]]) -> Iterator[int]:
    """For each span (begin, end) the lowest level, from 0, on which nothing else is at that time.

    Spans come in order of their beginnings; one may begin at the instant at which another on its level ends.
    """
    busy: list[tuple[float, int]] = []  # heap of (end, level)
    free: list[int] = []  # heap
    for begin, end in spans:
        while busy and busy[0][0] <= begin:
            heappush(free, heappop(busy)[1])
        level = heappop(free) if free else len(busy)
        heappush(busy, (end, level))
        yield level
