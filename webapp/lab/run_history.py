"""History of a run in progress: a bounded number of points, and the errors by kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from coreserver.records.client import ClientOutcome, ClientRecord
from webapp.schemas.run_progress import RunError, RunHistory

MAX_POINTS = 600
EVERY_S = 0.2
RATE_OVER_S = 1.0  # a current rate is the mean of the last second
MAX_KINDS, MAX_KINDS_SHOWN = 200, 20
COLUMNS = ("at_s", "messages_per_s", "connections_per_s", "in_service", "waiting", "queue_depth", "threads_alive")


@dataclass(frozen=True, slots=True)
class Point:
    """One sample of a run: its counts since the start, and the state of connections and threads.

    `begun` counts attempted connections, `waiting` those that are connected and not greeted. The last two are figures
    of the server; None if the server is external or has no such figure.
    """

    at_s: float
    messages: int
    begun: int
    in_service: int
    waiting: int
    queue_depth: int | None = None
    threads_alive: int | None = None


class Points:
    """The points of a run, oldest first. If there are too many, every second one is dropped, and the interval doubles.

    Counts are cumulative, so the rates between the remaining points stay correct."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._every_s = EVERY_S

    def is_due(self, at_s: float) -> bool:
        """Whether the next point is due."""
        return not self._points or at_s - self._points[-1].at_s >= 0.9 * self._every_s

    def add(self, point: Point) -> None:
        """Add a point; points must be added in the order of time."""
        self._points.append(point)
        if len(self._points) > MAX_POINTS:
            del self._points[1::2]
            self._every_s *= 2

    @property
    def last(self) -> Point | None:
        """The latest point."""
        return self._points[-1] if self._points else None

    def rates(self) -> tuple[float | None, float | None]:
        """Return the current messages and connections per second; None while there is only one point."""
        if len(self._points) < 2:
            return None, None
        last = self._points[-1]
        earlier = [point for point in self._points[-16:-1] if last.at_s - point.at_s <= RATE_OVER_S]
        return _rates(earlier[0] if earlier else self._points[-2], last)

    def table(self) -> RunHistory:
        """Return all points; rates are those between a point and the previous one."""
        before = self._points[:1] + self._points
        return RunHistory(columns=list(COLUMNS), rows=[_row(*pair) for pair in zip(before, self._points, strict=False)])


def _row(before: Point, point: Point) -> list[float | None]:
    messages_per_s, connections_per_s = _rates(before, point) if point is not before else (None, None)
    return [
        round(point.at_s, 3),
        messages_per_s,
        connections_per_s,
        point.in_service,
        point.waiting,
        point.queue_depth,
        point.threads_alive,
    ]


def _rates(before: Point, after: Point) -> tuple[float, float]:
    seconds = after.at_s - before.at_s
    return (
        round((after.messages - before.messages) / seconds, 1),
        round((after.begun - before.begun) / seconds, 1),
    )


class Errors:
    """Failed connections by outcome and detail."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], tuple[int, float]] = {}

    def take(self, records: Iterable[ClientRecord], at_s: float) -> None:
        """Count connections that have just ended."""
        for record in records:
            if record.outcome in (None, ClientOutcome.COMPLETED):
                continue
            kind = (str(record.outcome), record.detail)
            if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
                kind = (str(record.outcome), "other kinds")
            count, _ = self._kinds.pop(kind, (0, 0.0))
            self._kinds[kind] = (count + 1, at_s)  # moved to the end: the newest

    def newest(self, failed: int) -> tuple[list[RunError], int]:
        """Return the newest kinds first, and the number of `failed` connections that they do not include."""
        kinds = list(self._kinds.items())[: -MAX_KINDS_SHOWN - 1 : -1]
        found = [
            RunError(outcome=outcome, detail=detail, count=count, last_s=round(last_s, 3))
            for (outcome, detail), (count, last_s) in kinds
        ]
        return found, max(0, failed - sum(error.count for error in found))
