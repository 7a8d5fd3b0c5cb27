"""The input of a verdict, and helpers that build its reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coreserver.clock import NS_PER_S
from coreserver.records.messages import MessageTable
from coreserver.records.run_result import RunResult
from coreserver.reports.measured_window import MeasuredWindow
from coreserver.reports.schema.figures import Latency, Totals
from coreserver.reports.schema.report import Server
from coreserver.reports.schema.verdict_shape import MAX_TEXT, Severity, VerdictReason

NOT_OURS = "not ours"  # the placement of an external server: one that the lab did not start


@dataclass(frozen=True, slots=True)
class Evidence:
    """A run with the figures of its report.

    `table` holds the messages of the run's connections. `totals` and `latency` are those of the whole run. `groups` are
    the settings of the client groups, and `windows` are their measured windows by name.
    """

    result: RunResult
    table: MessageTable
    totals: Totals
    latency: Latency
    server: Server
    groups: Sequence[Mapping[str, Any]]
    windows: Mapping[str, MeasuredWindow | None]

    @property
    def took_s(self) -> float:
        """The time from the run's start to its end, in seconds."""
        return (self.result.load.ended_ns - self.result.load.started_ns) / NS_PER_S


def reason(code: str, severity: Severity, detail: str) -> VerdictReason:
    """Return a reason; a detail that is longer than a report allows is truncated."""
    return VerdictReason(code=code, severity=severity, detail=detail[:MAX_TEXT])


def count_noun(number: int, noun: str) -> str:
    """Return a number with its noun: 1 client, 1,000 clients."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
