"""Assignment of overlapping spans of time to levels, so that spans on one level do not overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush


def levels_of(spans: Iterable[tuple[float, float]]) -> Iterator[int]:
    """Yield for each span (begin, end) the lowest level, from 0, that is free at its begin.

    Args:
        spans: in ascending order of their begin. A span can begin when another one on its level ends.
    """
    busy: list[tuple[float, int]] = []  # heap of (end, level)
    free: list[int] = []  # heap
    for begin, end in spans:
        while busy and busy[0][0] <= begin:
            heappush(free, heappop(busy)[1])
        level = heappop(free) if free else len(busy)
        heappush(busy, (end, level))
        yield level
