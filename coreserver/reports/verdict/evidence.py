"""What a verdict rests on, and the shape of its reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from coreserver.clock import NS_PER_S
from coreserver.records.messages import MessageTable
from coreserver.reports.measured_window import Window

if TYPE_CHECKING:
    from coreserver.records.run_result import RunResult

NOT_OURS = "not ours"  # the placement of a server that the lab did not start
Severity = Literal["invalid", "suspect", "note"]  # a note alone leaves a run valid
Reason = dict[str, str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A run and the figures that its report gives.

    `table` has the messages of the run's connections; `totals` and `latency` are the whole run's, `server` is the
    report's; `groups` are the client groups as they were asked for, `windows` theirs by name.
    """

    result: RunResult
    table: MessageTable
    totals: Mapping[str, Any]
    latency: Mapping[str, Any]
    server: Mapping[str, Any]
    groups: Sequence[Mapping[str, Any]]
    windows: Mapping[str, Window | None]

    @property
    def took_s(self) -> float:
        """From the run's start to its end."""
        return (self.result.load.ended_ns - self.result.load.started_ns) / NS_PER_S


def reason(code: str, severity: Severity, detail: str) -> Reason:
    """One finding: a code for programs, and a sentence for people."""
    return {"code": code, "severity": severity, "detail": detail}


def counted(number: int, what: str) -> str:
    """A number with its noun: 1 client, 1,000 clients."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
