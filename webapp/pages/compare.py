"""The page of a comparison: runs, differing settings, figures, timelines and percentiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from markupsafe import Markup

from coreserver.reports.comparison import MAX_RUNS, ComparedFigure, ComparedRun, ComparedValue, Difference, Setting
from coreserver.reports.timeline_rows import TimelineRow
from coreserver.reports.vocabulary import Unit
from webapp import formatting
from webapp.charts import Table
from webapp.formatting import StatusBadge
from webapp.lab.lab import Lab
from webapp.pages.base import Page
from webapp.problems import UnreadableRecords
from webapp.recipes.recipes import Recipe
from webapp.schemas.comparison import Comparison, compare
from webapp.timeline.drawing import draw_aligned

PARTS = {
    "server": "Server",
    "clients": "Clients",
    "schedule": "Seed and schedule",
    "environment": "Machine and software",
}
TONES = {"better": "good", "worse": "bad"}
MINUS = "\N{MINUS SIGN}"
MAX_DRAWN = 5_000  # connections; larger timelines take seconds to draw and are fetched on demand
HASH_SHOWN = 12  # characters of a hash, enough to distinguish two


@dataclass(frozen=True)
class RunCard:
    """One of the compared runs, with links that make it the baseline or remove it."""

    id: int
    label: str
    model: str
    mark: StatusBadge
    verdict: StatusBadge
    sentence: str
    is_imported: bool
    is_baseline: bool
    baseline_url: str
    drop_url: str


@dataclass(frozen=True)
class SettingCell:
    """The value of a setting in one run."""

    text: str
    is_set: bool
    differs: bool


@dataclass(frozen=True)
class SettingRow:
    """One setting of all runs."""

    path: str
    cells: tuple[SettingCell, ...]


@dataclass(frozen=True)
class FigureCell:
    """The figure of one run and its difference from the baseline as text."""

    text: str
    is_few: bool = False
    delta: str = ""
    percent: str = ""
    word: str = ""
    tone: str = ""


@dataclass(frozen=True)
class FigureRow:
    """One figure of all runs."""

    label: str
    hint: str
    cells: tuple[FigureCell, ...]


@dataclass(frozen=True)
class FigureSection:
    """Figures of one section; `left_out` names those that are missing, or 0, in every run."""

    name: str
    rows: tuple[FigureRow, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class ComparePage(Page):
    """The page of a comparison."""

    template = "compare.html"
    place = "runs"

    runs: tuple[RunCard, ...]
    remarks: tuple[tuple[str, str, str], ...]
    differences: tuple[tuple[str, tuple[SettingRow, ...]], ...]
    same: tuple[tuple[str, tuple[SettingRow, ...]], ...]
    sections: tuple[FigureSection, ...]
    timelines: tuple[Markup, ...]
    timelines_url: str
    connections: str
    chart_url: str
    chart_words: str
    chart_files: tuple[tuple[str, str], ...]
    percentiles: Table
    recipes: tuple[Recipe, ...]
    api_url: str
    has_room: bool

    @property
    def title(self) -> str:
        """Title of the browser tab."""
        return "Compare runs " + ", ".join(str(run.id) for run in self.runs)


def compare_page(lab: Lab, run_ids: Sequence[int], base_url: str, *, draw_all: bool = False) -> ComparePage:
    """Return the page of these runs, the first one as the baseline; Conflict and NotFound as for the comparison.

    Args:
        draw_all: draw the timelines for any number of connections.
    """
    from webapp.charts import compared_percentiles as chart  # Altair takes 0.3 s to import

    reports = lab.results.reports(run_ids)
    found = compare(reports)
    connections = sum(report.totals.connections.due for report in reports)
    chart_url = "" if chart.missing(reports) else found.links["chart_percentiles"]
    is_drawn = draw_all or connections <= MAX_DRAWN
    return ComparePage(
        runs=tuple(_card(run, run_ids, is_imported=lab.runs.get(run.id).imported) for run in found.runs),
        remarks=tuple(
            (formatting.SEVERITY_TONES[remark.severity], remark.code.replace("_", " "), remark.detail)
            for remark in found.remarks
        ),
        differences=_by_part(found.differences),
        same=_by_part(found.same),
        sections=tuple(
            _section(name, list(some)) for name, some in groupby(found.figures, key=lambda figure: figure.section)
        ),
        timelines=_timelines(lab, found.runs) if is_drawn else (),
        timelines_url="" if is_drawn else f"{_address(run_ids)}&timelines=all",
        connections=formatting.count(connections),
        chart_url=chart_url,
        chart_files=tuple(
            (form.upper(), chart_url.replace(".json?", f".{form}?")) for form in ("svg", "png", "json") if chart_url
        ),
        chart_words=chart.summary(reports),
        percentiles=chart.rows(reports),
        recipes=_recipes(base_url, found),
        api_url=found.links["self"],
        has_room=len(run_ids) < MAX_RUNS,
    )


# --- the runs --------------------------------------------------------------------------------------------------------


def _card(run: ComparedRun, run_ids: Sequence[int], *, is_imported: bool) -> RunCard:
    others = [run_id for run_id in run_ids if run_id != run.id]
    is_baseline = run.id == run_ids[0]
    return RunCard(
        id=run.id,
        label=run.label,
        model=run.model,
        mark=formatting.mark(run.state),
        verdict=formatting.mark(run.verdict.status),
        sentence=run.sentence or "",
        is_imported=is_imported,
        is_baseline=is_baseline,
        baseline_url="" if is_baseline else _address([run.id, *others]),
        drop_url=_address(others) if len(others) > 1 else "",
    )


def _address(run_ids: Iterable[int]) -> str:
    return "/compare?" + "&".join(f"run={run_id}" for run_id in run_ids)


def _timelines(lab: Lab, runs: Sequence[ComparedRun]) -> tuple[Markup, ...]:
    """Return one drawing per run; empty for a run that was imported without its records."""
    rows = {run.id: _readable_rows(lab, run.id) for run in runs}
    there = [run for run in runs if rows[run.id]]
    drawn = draw_aligned([(f"Run {run.id}: {run.label or run.model}", rows[run.id]) for run in there])
    by_id = dict(zip((run.id for run in there), drawn, strict=True))
    return tuple(Markup(by_id.get(run.id, "")) for run in runs)  # noqa: S704 - `draw_aligned` escapes


def _readable_rows(lab: Lab, run_id: int) -> list[TimelineRow]:
    """Return the timeline rows of a run; none if its records cannot be read."""
    try:
        return lab.runs.timeline(run_id)[0]
    except UnreadableRecords:
        return []


# --- settings --------------------------------------------------------------------------------------------------------


def _by_part(differences: Sequence[Difference]) -> tuple[tuple[str, tuple[SettingRow, ...]], ...]:
    return tuple(
        (PARTS[part], tuple(_setting_row(difference) for difference in some))
        for part, some in groupby(differences, key=lambda difference: difference.part)
    )


def _setting_row(difference: Difference) -> SettingRow:
    first = difference.values[0]
    return SettingRow(
        difference.path,
        tuple(
            SettingCell(_setting(difference.path, setting), setting.is_set, differs=setting != first)
            for setting in difference.values
        ),
    )


def _setting(path: str, setting: Setting) -> str:
    if not setting.is_set:
        return "not set"
    name = path.rpartition(".")[2]
    value: Any = setting.value
    if name.endswith("_sha256") and value:
        return f"{value[:HASH_SHOWN]}…"
    return formatting.reading(name, value, "none")


# --- figures ---------------------------------------------------------------------------------------------------------


def _section(name: str, some: Sequence[ComparedFigure]) -> FigureSection:
    """Return one row per figure; figures that are missing, or 0, in every run share a line that says so."""
    common: dict[str, list[str]] = {}
    rows = []
    for figure in some:
        if why := _common_value(figure):
            common.setdefault(why, []).append(figure.label)
        else:
            rows.append(_figure_row(figure))
    return FigureSection(
        name, tuple(rows), tuple(f"{why} in every run: {', '.join(labels)}" for why, labels in common.items())
    )


def _common_value(figure: ComparedFigure) -> str:
    """Return the text that all runs have in common, or \"0\"; empty if the values differ."""
    [first, *others] = [value.missing if value.value is None else value.value for value in figure.values]
    if any(other != first for other in others):
        return ""
    return first if isinstance(first, str) else "0" if first == 0 else ""


def _figure_row(figure: ComparedFigure) -> FigureRow:
    hint = f"{figure.better} is better" if figure.better else ""
    return FigureRow(figure.label, hint, tuple(_figure_cell(value, figure.unit) for value in figure.values))


def _figure_cell(found: ComparedValue, unit: Unit) -> FigureCell:
    if found.value is None:
        return FigureCell(found.missing or formatting.NONE, is_few=True)
    text = formatting.UNITS[unit](found.value)
    if found.word is None or found.delta is None:
        return FigureCell(text)
    if found.word == "same":
        return FigureCell(text, word="same")
    return FigureCell(
        text,
        delta=_signed(found.delta, formatting.UNITS[unit]),
        percent="" if found.percent is None else f"{_signed(found.percent, _percent)}{formatting.NARROW}%",
        word=found.word,
        tone=TONES.get(found.word, "idle"),
    )


def _signed(value: float, written: Callable[[float], str]) -> str:
    return f"{MINUS if value < 0 else '+'}{written(abs(value))}"


def _percent(value: float) -> str:
    """Return whole percents, with one decimal below ten."""
    return formatting.count(value) if value >= 10 else f"{math.ceil(value * 10) / 10:g}"


# --- recipes ---------------------------------------------------------------------------------------------------------


def _recipes(base_url: str, found: Comparison) -> tuple[Recipe, ...]:
    url, ids = f"{base_url}{found.links['self']}", [run.id for run in found.runs]
    listed = ", ".join(map(str, ids))
    httpx = f"""\
import httpx

comparison = httpx.get("{base_url}/api/v1/compare", params={{"run": [{listed}]}}).raise_for_status().json()
for figure in comparison["figures"]:
    print(figure["label"], [value["value"] for value in figure["values"]])"""
    client = f"""\
from webapp.client import LabClient

with LabClient("{base_url}") as lab:
    for difference in lab.compare({listed}).differences:
        print(difference.path, [setting.value for setting in difference.values])"""
    line = f"serverlab compare --url {base_url} {' '.join(map(str, ids))}"
    return (
        Recipe("rest", "REST", f"GET {url}"),
        Recipe("curl", "curl", f"curl -sS '{url}'"),
        Recipe("httpx", "Python, with httpx", httpx),
        Recipe("client", "Python, with LabClient", client),
        Recipe("cli", "Command line", line),
    )
