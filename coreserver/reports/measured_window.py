"""Which part of a run its figures speak of: after the warm-up, before what was left is followed to its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coreserver.clock import NS_PER_S, seconds
from coreserver.records.client import ClientRecord


@dataclass(frozen=True, slots=True)
class Window:
    """The measured span, on the lab's clock.

    What is due before `from_ns` is warm-up: it is counted, and shown in the series, but is no part of any latency,
    wait or throughput. What is due within the window and ends after it belongs to latency, not to throughput.
    """

    from_ns: int
    until_ns: int

    @property
    def length_s(self) -> float:
        """How long it is."""
        return seconds(max(self.until_ns - self.from_ns, 0))

    def shown(self, started_ns: int) -> dict[str, float]:
        """As the report has it: seconds from the run's start."""
        return {"from_s": seconds(self.from_ns - started_ns), "until_s": seconds(self.until_ns - started_ns)}


def group_window(
    group: Mapping[str, Any], clients: Sequence[ClientRecord], *, started_ns: int, ended_ns: int
) -> Window | None:
    """A group's window: by its settings where it has a duration, otherwise from first due to last closed.

    None of a group without a duration of which nobody came into being. A run that ended earlier ends its windows.
    """
    duration_s = _duration_s(group)
    if duration_s is not None:
        begin_s = group.get("start_s") or 0.0
        from_ns = started_ns + round((begin_s + (group.get("warm_up_s") or 0.0)) * NS_PER_S)
        until_ns = min(started_ns + round((begin_s + duration_s) * NS_PER_S), ended_ns)
        return Window(from_ns, max(from_ns, until_ns))
    first_due = min((client.due_ns for client in clients), default=None)
    last_closed = max((client.closed_ns for client in clients if client.closed_ns is not None), default=first_due)
    return None if first_due is None or last_closed is None else Window(first_due, max(first_due, last_closed))


def hull(windows: Iterable[Window | None]) -> Window | None:
    """The shortest window that holds all of these."""
    known = [window for window in windows if window is not None]
    if not known:
        return None
    return Window(min(window.from_ns for window in known), max(window.until_ns for window in known))


def _duration_s(group: Mapping[str, Any]) -> float | None:
    """How long the group's messages or arrivals begin; None of scripts and of personas that only hold on."""
    if group.get("kind") not in ("closed", "open", "flood"):
        return None
    stages = group.get("stages")
    duration: float | None = sum(stage["duration_s"] for stage in stages) if stages else group.get("duration_s")
    return duration
