"""What a chart is: something that draws a report, says it in a sentence, and gives its figures as a table."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from coreserver.reports.schema import Report
from webapp.charts.theme import Spec

# Held by who makes a chart with Altair, whose setters (`.scale()`, `.axis()`) keep the object they are asked to set in
# their class: two threads at once would set each other's.
ALTAIR = threading.Lock()


@dataclass(frozen=True)
class Table:
    """Figures as text, with their units; the first column names the row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class ChartModule(Protocol):
    """What the file of a chart holds."""

    @staticmethod
    def missing(report: Report) -> str:
        """Why there is nothing to draw, as a sentence; empty where there is something."""

    @staticmethod
    def spec(report: Report, title: str) -> Spec:
        """The Vega-Lite spec, where nothing is missing."""

    @staticmethod
    def summary(report: Report) -> str:
        """What the chart shows, in a sentence with its figures, where nothing is missing."""

    @staticmethod
    def rows(report: Report) -> Table:
        """The same figures in a readable number of rows, where nothing is missing."""


@dataclass(frozen=True)
class Chart:
    """One chart of any run: `name` is its address, `module` the module of this package that draws it."""

    name: str
    title: str
    module: str

    def missing(self, report: Report) -> str:
        """Why there is nothing to draw, as a sentence; empty where there is something."""
        return self._module().missing(report)

    def spec(self, report: Report) -> Spec | None:
        """The Vega-Lite spec, ready for JSON; None where there is nothing to draw."""
        if self.missing(report):
            return None
        with ALTAIR:
            return self._module().spec(report, self.title)

    def summary(self, report: Report) -> str:
        """What the chart shows, in a sentence made from the figures; or why there is none."""
        return self.missing(report) or self._module().summary(report)

    def rows(self, report: Report) -> Table:
        """The figures as a table; without rows where there is nothing to draw."""
        return Table((), ()) if self.missing(report) else self._module().rows(report)

    def _module(self) -> ChartModule:
        return cast(ChartModule, import_module(f"webapp.charts.{self.module}"))
