"""The interface of a chart: a spec, a sentence and a table, all made from a report."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from coreserver.reports.schema.report import Report
from webapp.charts.theme import Spec

# Guards every use of Altair: its setters (`.scale()`, `.axis()`) keep state in their class, so two threads at once
# would change each other's charts.
ALTAIR = threading.Lock()


@dataclass(frozen=True)
class Table:
    """Figures as text with their units; the first column names the row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class ChartModule(Protocol):
    """Functions that the module of a chart defines."""

    @staticmethod
    def missing(report: Report) -> str:
        """Return a sentence that says why there is nothing to draw; empty if there is something."""

    @staticmethod
    def spec(report: Report, title: str) -> Spec:
        """Return the Vega-Lite spec; only if nothing is missing."""

    @staticmethod
    def summary(report: Report) -> str:
        """Return what the chart shows in a sentence with figures; only if nothing is missing."""

    @staticmethod
    def rows(report: Report) -> Table:
        """Return the same figures in a readable number of rows; only if nothing is missing."""


@dataclass(frozen=True)
class Chart:
    """One chart of any run: `name` is its name in URLs, `module` the module of this package that makes it."""

    name: str
    title: str
    module: str

    def missing(self, report: Report) -> str:
        """Return a sentence that says why there is nothing to draw; empty if there is something."""
        return self._module().missing(report)

    def spec(self, report: Report) -> Spec | None:
        """Return the Vega-Lite spec, ready for JSON; None if there is nothing to draw."""
        if self.missing(report):
            return None
        with ALTAIR:
            return self._module().spec(report, self.title)

    def summary(self, report: Report) -> str:
        """Return what the chart shows in a sentence with figures, or why there is nothing to draw."""
        return self.missing(report) or self._module().summary(report)

    def rows(self, report: Report) -> Table:
        """Return the figures as a table; it has no rows if there is nothing to draw."""
        return Table((), ()) if self.missing(report) else self._module().rows(report)

    def _module(self) -> ChartModule:
        return cast(ChartModule, import_module(f"webapp.charts.{self.module}"))
