"""The page of one run, queued, running or ended: verdict, timeline, then all figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from markupsafe import Markup

from coreserver.reports.figure_values import NONE_REACHED, NOT_MEASURED, TOO_FEW, value_of
from coreserver.reports.schema.figures import Latency, Statistics, Waits
from coreserver.reports.schema.report import Group, Report
from coreserver.reports.timeline_rows import TimelineRow
from coreserver.reports.vocabulary import DURATIONS, STATISTICS, figure, spans_of
from webapp import formatting
from webapp.formatting import Figure, StatusBadge
from webapp.forms.experiment_form import submitted_from_run
from webapp.forms.schema_form import FormField, Problems, Submitted, check, fields_of
from webapp.lab.lab import Lab
from webapp.pages.base import Page, render
from webapp.pages.chart_figures import ChartFigure, chart_figures
from webapp.pages.downloads import Download, downloads
from webapp.pages.rows import RunRow, run_row
from webapp.pages.run_progress import Progress, progress_of
from webapp.pages.time_breakdown import PartsTable, parts_table
from webapp.problems import Conflict, NotFound, UnreadableRecords, UnreadableReport
from webapp.recipes.recipes import Recipe, recipes
from webapp.run_drawings import lanes_svg, timeline_svg
from webapp.schemas.resources import RunPatch, RunResource
from webapp.schemas.run_spec import RunSpec

COLUMNS = tuple(label for label, _ in STATISTICS.values())
COUNTS = {
    "connections": "connections",
    "messages": "messages",
    "warm_up": "in the warm-up (excluded from latency and waits)",
    "bytes": "bytes",
}
GROUP_FIGURES = (
    "totals.connections.due",
    "totals.connections.completed",
    "latency.response_ms.p50",
    "latency.response_ms.max",
    "waits.queue_ms.max",
    "totals.duration_s",
)
MAX_LOG_LINES = 2000  # on the page; the download has all lines


@dataclass(frozen=True)
class Cell:
    """One cell of a table; adjacent missing figures share one cell, which spans their columns."""

    text: str
    span: int = 1
    is_few: bool = False


@dataclass(frozen=True)
class StatisticsRow:
    """Table row with the statistics of one kind of duration."""

    label: str
    what: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Reason:
    """A reason of the verdict, or of the end of a run without a report."""

    tone: str
    code: str
    detail: str


@dataclass(frozen=True)
class GroupRow:
    """Table row with the figures of one client group."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Results:
    """The parts of the page that come from the report and the log."""

    charts: tuple[ChartFigure, ...]
    totals: tuple[Figure, ...]
    counts: tuple[tuple[str, tuple[Figure, ...]], ...]
    columns: tuple[str, ...]
    latency: tuple[StatisticsRow, ...]
    waits: tuple[StatisticsRow, ...]
    group_columns: tuple[str, ...]
    groups: tuple[GroupRow, ...]
    server: tuple[Figure, ...]
    config: tuple[Figure, ...]
    environment: tuple[Figure, ...]
    log: str
    log_left_out: str


@dataclass(frozen=True)
class RunPage(Page):
    """The page of one run.

    `results` is None, and `timeline`, `lanes` and `parts` are empty, while there is nothing to show there.
    """

    template = "run.html"
    place = "runs"

    row: RunRow
    note: str
    server_id: int | None
    target: str
    verdict: StatusBadge | None
    reasons: tuple[Reason, ...]
    notes: tuple[Reason, ...]
    sentence: str
    is_over: bool
    has_begun: bool
    progress: Progress | None
    timeline: Markup
    lanes: Markup
    parts: PartsTable | None
    results: Results | None
    recipes: tuple[Recipe, ...]
    change_url: str
    downloads: tuple[Download, ...]
    imported: str
    problem: str
    label: FormField
    note_field: FormField

    @property
    def title(self) -> str:
        """Title of the browser tab, with the state of the run."""
        return f"Run {self.row.id} {self.row.mark.word}" + (f": {self.row.label}" if self.row.label else "")


def run_page(
    lab: Lab,
    run_id: int,
    base_url: str,
    problem: str = "",
    *,
    submitted: Submitted | None = None,
    problems: Problems | None = None,
) -> RunPage:
    """Return the page of one run in its present state.

    Args:
        problem: message above the page, such as why a form was rejected.
        submitted: rejected values of the form for label and note, with their `problems`.
    Raises:
        NotFound: there is no such run.
    """
    run = lab.runs.get(run_id)
    spec, _ = check(RunSpec, run.config)
    is_known = spec is not None or not run.imported  # settings of an imported run may be unknown to this version
    label, note = fields_of(RunPatch, submitted or {"label": run.label, "note": run.note}, problems or {})
    reasons = _reasons(run)
    faults: list[Reason] = []
    rows = _rows(lab, run, faults)  # read once; a large run has many
    report = _report(lab, run, faults)
    return RunPage(
        row=run_row(run),
        note=run.note,
        server_id=run.server_id,
        target=run.config["server"].get("address", ""),
        verdict=formatting.mark(run.verdict.status) if run.verdict else None,
        reasons=(*faults, *(reason for reason in reasons if reason.tone != "idle")),
        notes=tuple(reason for reason in reasons if reason.tone == "idle"),
        sentence=run.sentence or (faults[0].detail if faults else ""),
        is_over=run.is_over,
        has_begun=run.started_at is not None,
        progress=progress_of(run, spec, lab.runs.history(run_id)),
        timeline=_timeline(lab, run),
        lanes=_lanes(lab, run, rows),
        parts=parts_table(rows, run.id) if run.is_over else None,
        results=None if report is None else _results(lab, run, report),
        recipes=recipes(base_url, run.config) if is_known else (),
        change_url="/?" + urlencode(submitted_from_run(run.config)) if is_known else "",
        downloads=downloads(run),
        imported=_imported(run),
        problem=problem,
        label=label,
        note_field=note,
    )


def _reasons(run: RunResource) -> tuple[Reason, ...]:
    found = [] if run.reason is None else [Reason("bad", run.reason.code, run.reason.detail)]
    listed = run.verdict.reasons if run.verdict else []
    known = {reason.code for reason in found}
    found += [
        Reason(formatting.SEVERITY_TONES[item.severity], item.code, item.detail)
        for item in listed
        if item.code not in known
    ]
    return tuple(Reason(reason.tone, reason.code.replace("_", " "), reason.detail) for reason in found)


def _imported(run: RunResource) -> str:
    """Return a sentence about the origin of an imported run; empty for other runs."""
    origin = run.imported_from
    if origin is None:
        return ""
    maker = (
        f"run {origin.run_id} of Serverlab {origin.version}"
        if origin.version
        else f"run {origin.run_id} of another lab"
    )
    missing = (
        "" if origin.has_records else "; the file had no records of connections, so there is no timeline and no log"
    )
    return f"Imported at {formatting.moment(run.imported_at)}; originally {maker}{missing}."


def render_timeline(lab: Lab, run_id: int) -> str:
    """Render the timeline of a run in progress as a fragment of its page."""
    run = lab.runs.get(run_id)
    return render("fragments/run_timeline.html", run_id=run_id, timeline=_timeline(lab, run), is_over=run.is_over)


def _timeline(lab: Lab, run: RunResource) -> Markup:
    """Return the current timeline as SVG; `webapp.timeline` escapes the text in it."""
    if run.started_at is None:
        return Markup("")
    try:
        return Markup(timeline_svg(lab, run.id, embedded=True))  # noqa: S704
    except (Conflict, NotFound):
        return Markup("")


def _lanes(lab: Lab, run: RunResource, rows: Sequence[TimelineRow]) -> Markup:
    """Return the worker lanes of a run that has ended; empty if no server record names a worker."""
    if not any(row.worker for row in rows):
        return Markup("")
    return Markup(lanes_svg(lab, run.id, embedded=True))  # noqa: S704


def _rows(lab: Lab, run: RunResource, faults: list[Reason]) -> Sequence[TimelineRow]:
    """Return the timeline rows of a run that has ended; add a reason to `faults` if its records cannot be read."""
    if not run.is_over:
        return []
    try:
        return lab.runs.timeline(run.id)[0]
    except UnreadableRecords as problem:
        faults.append(Reason("bad", "records cannot be read", problem.detail))
    except UnreadableReport:
        pass  # `_report` adds the reason
    return []


# --- the report ------------------------------------------------------------------------------------------------------


def _report(lab: Lab, run: RunResource, faults: list[Reason]) -> Report | None:
    """Return the report of a run that has ended; add a reason to `faults` if it cannot be read."""
    if not run.is_over:
        return None
    try:
        return lab.results.report(run.id)
    except UnreadableReport as problem:
        faults.append(Reason("bad", "report cannot be read", problem.detail))
    except (Conflict, NotFound):
        pass  # the run ended without a report: it was interrupted or never reached its server
    return None


def _log_lines(lab: Lab, run: RunResource) -> list[str]:
    try:
        return lab.results.log(run.id).splitlines()
    except NotFound:
        return []  # the run was imported without records, or they cannot be read


def _results(lab: Lab, run: RunResource, report: Report) -> Results:
    lines = _log_lines(lab, run)
    totals, groups = report.totals, report.groups
    return Results(
        charts=chart_figures(run.id, report),
        totals=_headline(report),
        counts=tuple(
            (title, formatting.rows_of(getattr(totals, name)))
            for name, title in COUNTS.items()
            if name != "warm_up" or totals.warm_up.connections or totals.warm_up.messages  # most runs have no warm-up
        ),
        columns=COLUMNS,
        latency=_statistics("latency", report.latency),
        waits=_statistics("waits", report.waits),
        group_columns=tuple(figure(path).label for path in GROUP_FIGURES),
        groups=tuple(_group(group) for group in groups) if len(groups) > 1 else (),
        server=formatting.rows_of(report.server, missing=NOT_MEASURED, exclude=("config", "id", "name")),
        config=formatting.pairs(report.server.config),
        environment=formatting.rows_of(report.environment, missing="not known"),
        log="\n".join(lines[:MAX_LOG_LINES]),
        log_left_out=formatting.count(len(lines) - MAX_LOG_LINES) if len(lines) > MAX_LOG_LINES else "",
    )


def _headline(report: Report) -> tuple[Figure, ...]:
    """Return the figures at the top of the page: those of the totals except COUNTS, then the shares of successes."""
    totals = report.totals
    return (
        *formatting.rows_of(totals, missing=formatting.NONE, exclude=COUNTS),
        _share("totals.connections.completed", totals.connections.completed, totals.connections.due),
        _share("totals.messages.verified", totals.messages.verified, totals.messages.sent),
    )


def _share(path: str, value: int, of: int) -> Figure:
    return Figure(figure(path).label, f"{formatting.count(value)} of {formatting.count(of)}")


def _statistics(part: str, found: Latency | Waits) -> tuple[StatisticsRow, ...]:
    return tuple(
        StatisticsRow(span.label, span.explanation, _cells(getattr(found, span.name))) for span in spans_of(part)
    )


def _cells(statistics: Statistics) -> tuple[Cell, ...]:
    """Return one cell per statistic; adjacent statistics with too few samples share one cell."""
    cells = [Cell(formatting.count(statistics.count))]
    if not statistics.count:
        return (*cells, Cell(NONE_REACHED, len(DURATIONS), is_few=True))
    missing = 0
    for name in DURATIONS:
        if (value := statistics.value(name)) is None:
            missing += 1
            continue
        if missing:
            cells.append(Cell(TOO_FEW, missing, is_few=True))
            missing = 0
        cells.append(Cell(formatting.ms(value)))
    return tuple(cells)


def _group(group: Group) -> GroupRow:
    return GroupRow(name=group.name, cells=tuple(_group_cell(group, path) for path in GROUP_FIGURES))


def _group_cell(group: Group, path: str) -> str:
    entry = figure(path)
    found = value_of(entry, group)
    return found.missing or formatting.quantity(found.value, entry.unit)
