"""The measured part of a run: after the warm-up, and before clients only finish what they have begun."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coreserver.clock import NS_PER_S, seconds
from coreserver.records.client import ClientRecord
from coreserver.reports.schema.figures import Window


@dataclass(frozen=True, slots=True)
class MeasuredWindow:
    """The measured span on the monotonic clock.

    Messages and connections due before `from_ns` are warm-up: they are counted and shown in the series, and they are
    left out of latency, waits and throughput. What is due within the window and ends after it counts for latency and
    not for throughput.
    """

    from_ns: int
    until_ns: int

    @property
    def length_s(self) -> float:
        """The length in seconds."""
        return seconds(max(self.until_ns - self.from_ns, 0))

    def relative_to(self, started_ns: int) -> Window:
        """Return the window in seconds from the run's start, as the report has it."""
        return Window(from_s=seconds(self.from_ns - started_ns), until_s=seconds(self.until_ns - started_ns))


def group_window(
    group: Mapping[str, Any], clients: Sequence[ClientRecord], *, started_ns: int, ended_ns: int
) -> MeasuredWindow | None:
    """Return the window of a group: by its settings if it has a duration, otherwise from first due to last closed.

    None for a group without a duration and without clients. A window ends with the run at the latest.
    """
    duration_s = _duration_s(group)
    if duration_s is not None:
        begin_s = group.get("start_s") or 0.0
        from_ns = started_ns + round((begin_s + (group.get("warm_up_s") or 0.0)) * NS_PER_S)
        until_ns = min(started_ns + round((begin_s + duration_s) * NS_PER_S), ended_ns)
        return MeasuredWindow(from_ns, max(from_ns, until_ns))
    first_due = min((client.due_ns for client in clients), default=None)
    last_closed = max((client.closed_ns for client in clients if client.closed_ns is not None), default=first_due)
    if first_due is None or last_closed is None:
        return None
    return MeasuredWindow(first_due, max(first_due, last_closed))


def hull(windows: Iterable[MeasuredWindow | None]) -> MeasuredWindow | None:
    """Return the shortest window that contains all of these; None if there is none."""
    known = [window for window in windows if window is not None]
    if not known:
        return None
    return MeasuredWindow(min(window.from_ns for window in known), max(window.until_ns for window in known))


def _duration_s(group: Mapping[str, Any]) -> float | None:
    """Return how long the group starts messages or connections; None for kinds without a duration."""
    if group.get("kind") not in ("closed", "open", "flood"):
        return None
    stages = group.get("stages")
    duration: float | None = sum(stage["duration_s"] for stage in stages) if stages else group.get("duration_s")
    return duration
