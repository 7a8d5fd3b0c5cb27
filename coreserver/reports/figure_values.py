"""Values of figures: look them up in a report by their vocabulary entry, and say why one is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from coreserver.reports.schema.figures import Statistics
from coreserver.reports.schema.report import Group, Report
from coreserver.reports.vocabulary import CPU_PER_MESSAGE, FAILED, FigureEntry

TOO_FEW, NONE_REACHED, NOT_MEASURED = "too few samples", "none reached this", "not measured"


@dataclass(frozen=True, slots=True)
class FigureValue:
    """The value of a figure, or the reason why there is none."""

    value: int | float | None
    missing: str | None = None


def value_of(entry: FigureEntry, part: Report | Group) -> FigureValue:
    """Return the value of a figure in a report or in one of its groups."""
    if entry.path in _COMPUTED:
        value = _COMPUTED[entry.path](part)
        return FigureValue(value, None if value is not None else NOT_MEASURED)
    *above, name = entry.path.split(".")
    holder: Any = part
    for step in above:
        holder = getattr(holder, step, None)
    value = getattr(holder, name, None)
    if value is not None:
        return FigureValue(value)
    if isinstance(holder, Statistics):
        return FigureValue(None, TOO_FEW if holder.count else NONE_REACHED)
    return FigureValue(None, NOT_MEASURED)


def _failed_connections(part: Report | Group) -> int:
    connections = part.totals.connections
    return connections.due - connections.completed


def _cpu_us_per_message(part: Report | Group) -> float | None:
    messages = part.totals.messages.verified
    if isinstance(part, Group) or part.server.cpu_s is None or not messages:
        return None
    return part.server.cpu_s * 1e6 / messages


# The figures that are computed from others.
_COMPUTED: dict[str, Callable[[Report | Group], int | float | None]] = {
    FAILED: _failed_connections,
    CPU_PER_MESSAGE: _cpu_us_per_message,
}
