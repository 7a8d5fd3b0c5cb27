"""Comparison of reports: differences of the settings, and every figure with its distance from the first run's.

Pure functions of reports. The first run is the baseline. A distance is "better" or "worse" only if the vocabulary has a
direction for the figure and both runs are reliable; otherwise it is "more" or "less".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from coreserver.reports.figure_values import NOT_MEASURED, FigureValue, value_of
from coreserver.reports.schema.report import Group, Report
from coreserver.reports.schema.verdict_shape import Severity, Verdict
from coreserver.reports.vocabulary import FAILED, FIGURES, Better, FigureEntry, Unit, figure

MIN_RUNS, MAX_RUNS = 2, 8  # runs of a comparison
RESOLUTION = 0.001  # histograms keep three significant digits: closer values count as the same
Word = Literal["same", "better", "worse", "more", "less"]
Part = Literal["server", "clients", "schedule", "environment"]

DURATION = "totals.duration_s"
GROUP_FIGURES = (
    "totals.connections.completed",
    FAILED,
    *(f"latency.response_ms.{name}" for name in ("p50", "p99", "max")),
)

# Values that differ from run to run although they are not settings.
_NOT_SETTINGS = frozenset({"environment.load_average_1min"})


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class ComparedRun(_Answer):
    """One of the runs."""

    id: int
    label: str
    state: str
    model: str
    placement: str | None = Field(description="null for an external server")
    verdict: Verdict
    sentence: str | None


class Setting(_Answer):
    """The value of a setting in one run."""

    is_set: bool = Field(description="whether the run has this setting")
    value: Any = Field(description="null also if it is not set")


class Difference(_Answer):
    """A setting, such as `server.workers` or `clients.0.count`, with its value in each run."""

    path: str
    part: Part
    values: list[Setting] = Field(description="in the order of the runs")


class ComparedValue(_Answer):
    """The figure of one run and its distance from the baseline."""

    value: int | float | None
    missing: str | None = Field(description="why there is no value: too few samples, none reached this, not measured")
    delta: int | float | None = Field(description="value minus the baseline's; null for the baseline itself")
    percent: float | None = Field(description="the delta in percent of the baseline's value; null if that is 0")
    word: Word | None = Field(
        description="better and worse only if known and both runs are reliable; null: no comparison"
    )


class ComparedFigure(_Answer):
    """One figure of all runs."""

    name: str = Field(description="its path in the report; figures that are computed from others have a name instead")
    label: str
    section: str
    unit: Unit = Field(description="of the values and deltas; `number`: a count, or a plain number")
    better: Better = Field(description="which direction is better; null: neither, or not known")
    values: list[ComparedValue] = Field(description="in the order of the runs")


class Remark(_Answer):
    """A fact that limits what the differences mean."""

    code: str
    severity: Severity
    detail: str


class RunComparison(_Answer):
    """Runs side by side; the first one is the baseline."""

    runs: list[ComparedRun]
    remarks: list[Remark]
    differences: list[Difference] = Field(description="settings, schedule and environment that differ")
    same: list[Difference] = Field(description="settings, schedule and environment that are equal")
    figures: list[ComparedFigure]


def compare(reports: Sequence[Report]) -> RunComparison:
    """Compare at least two reports, in this order."""
    runs = [_run(report) for report in reports]
    settings = _settings(reports)
    differences = [setting for setting in settings if _differs(setting)]
    same_load = not any(setting.part == "clients" for setting in differences)
    return RunComparison(
        runs=runs,
        remarks=[*_remarks(runs, differences)],
        differences=differences,
        same=[setting for setting in settings if not _differs(setting)],
        figures=[*_figures(reports, runs, same_load=same_load)],
    )


def _run(report: Report) -> ComparedRun:
    return ComparedRun(
        id=report.run.id,
        label=report.run.label,
        state=report.run.state,
        model=report.server.model,
        placement=report.server.placement,
        verdict=report.verdict,
        sentence=report.run.sentence,
    )


# --- settings --------------------------------------------------------------------------------------------------------


def _settings(reports: Sequence[Report]) -> list[Difference]:
    """Return every setting that any of the runs has, in the order of the reports."""
    flat = [dict(flatten(_settings_of(report))) for report in reports]
    paths = dict.fromkeys(path for one in flat for path in one)
    return [
        Difference(
            path=path, part=_part(path), values=[Setting(is_set=path in one, value=one.get(path)) for one in flat]
        )
        for path in sorted(paths, key=_rank)
        if path not in _NOT_SETTINGS
    ]


_PARTS: tuple[Part, ...] = ("server", "clients", "schedule", "environment")


def _rank(path: str) -> tuple[int, int]:
    """Return the sort key of a path: its part, then the number of its client group."""
    number = path.split(".")[1] if path.startswith("clients.") else ""
    return _PARTS.index(_part(path)), int(number) if number.isdecimal() else -1


def _part(path: str) -> Part:
    first = path.partition(".")[0]
    if first in ("server", "environment"):
        return "server" if first == "server" else "environment"
    return "schedule" if first in ("seed", "schedule_sha256") else "clients"


def _settings_of(report: Report) -> dict[str, Any]:
    """Return settings, schedule and environment, with the server's config also if the run named its server by id."""
    load = report.run.config.model_dump(mode="json", exclude={"label", "note", "server", "seed"})
    return {
        "server": {**report.server.config, "settled": report.server.details},
        **load,
        "seed": report.run.seed,
        "schedule_sha256": report.run.schedule_sha256,
        "environment": report.environment.model_dump(mode="json"),
    }


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every leaf of a JSON document by its dotted path; a list of plain values is one leaf."""
    if isinstance(value, Mapping):
        steps: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        steps = enumerate(value)
    else:
        yield path, value
        return
    for step, inner in steps:
        yield from flatten(inner, f"{path}.{step}" if path else str(step))


def _differs(setting: Difference) -> bool:
    first = setting.values[0]
    return any(other != first for other in setting.values[1:])


# --- remarks ---------------------------------------------------------------------------------------------------------


def _known_values(differences: Sequence[Difference], path: str) -> set[Any]:
    """Return the distinct values of a setting without null, which a report of an earlier version may have."""
    return {one.value for setting in differences if setting.path == path for one in setting.values} - {None}


def _remarks(runs: Sequence[ComparedRun], differences: Sequence[Difference]) -> Iterator[Remark]:
    for run in runs:
        if run.verdict.status == "invalid":
            detail = f"{_status(run)}: its figures are not reliable, so no figure is marked better or worse against it"
            yield Remark(code="run_invalid", severity="invalid", detail=detail)
    if suspects := [_status(run) for run in runs if run.verdict.status == "suspect"]:
        detail = f"{', '.join(suspects)}: figures may be inaccurate; read the reasons before using a small difference"
        yield Remark(code="run_suspect", severity="suspect", detail=detail)
    for run in runs:
        if run.state != "completed":
            detail = f"run {run.id} ({run.state}): its figures cover only the part that was executed"
            yield Remark(code="not_completed", severity="suspect", detail=detail)
    if any(difference.part == "environment" for difference in differences):
        detail = "the runs used different machines or software"
        yield Remark(code="environments_differ", severity="suspect", detail=detail)
    if len(_known_values(differences, "schedule_sha256")) > 1:
        detail = "arrivals and messages differ, because the seed or the clients differ"
        yield Remark(code="schedules_differ", severity="note", detail=detail)
    if any(run.placement == "thread" for run in runs):
        detail = "with placement thread, CPU time, memory and switches are those of the lab, which serves the clients"
        yield Remark(code="shared_process", severity="note", detail=detail)
    detail = "each column is a single run; repeated runs also differ, so repeat them before using a small difference"
    yield Remark(code="one_run_each", severity="note", detail=detail)


def _status(run: ComparedRun) -> str:
    """Return the verdict with the codes of the reasons that decided it."""
    status = run.verdict.status
    codes = [reason.code.replace("_", " ") for reason in run.verdict.reasons if reason.severity == status]
    return f"run {run.id} is {status}" + (f" ({', '.join(codes)})" if codes else "")


# --- figures ---------------------------------------------------------------------------------------------------------


def _figures(reports: Sequence[Report], runs: Sequence[ComparedRun], *, same_load: bool) -> Iterator[ComparedFigure]:
    reliable = [run.verdict.status != "invalid" for run in runs]
    for entry in FIGURES:
        if entry.is_compared:
            if entry.path == DURATION and not same_load:
                entry = replace(entry, better=None)
            yield from _figure(entry, entry.path, reports, reliable)
    for name in _common_groups(reports):
        groups = [next(group for group in report.groups if group.name == name) for report in reports]
        for path in GROUP_FIGURES:
            entry = replace(figure(path), heading=f"Group {name}")
            yield from _figure(entry, f"groups.{name}.{path}", groups, reliable)


def _common_groups(reports: Sequence[Report]) -> list[str]:
    """Return the names of the groups, if there are several and all runs have the same ones."""
    names = [[group.name for group in report.groups] for report in reports]
    if len(names[0]) < 2 or any(sorted(others) != sorted(names[0]) for others in names):
        return []
    return names[0]


def _figure(
    entry: FigureEntry, name: str, parts: Sequence[Report] | Sequence[Group], reliable: Sequence[bool]
) -> Iterator[ComparedFigure]:
    """Yield the figure of these reports or groups, unless none of them measured it."""
    found = [value_of(entry, part) for part in parts]
    if all(one.value is None and one.missing == NOT_MEASURED for one in found):
        return
    baseline = found[0].value
    values = [ComparedValue(value=baseline, missing=found[0].missing, delta=None, percent=None, word=None)]
    for one, is_reliable in zip(found[1:], reliable[1:], strict=True):
        values.append(_value(one, baseline, entry.better if is_reliable and reliable[0] else None))
    yield ComparedFigure(
        name=name, label=entry.label, section=entry.section, unit=entry.unit, better=entry.better, values=values
    )


def _value(found: FigureValue, baseline: float | None, better: Better) -> ComparedValue:
    if found.value is None or baseline is None:
        return ComparedValue(value=found.value, missing=found.missing, delta=None, percent=None, word=None)
    delta = found.value - baseline
    return ComparedValue(
        value=found.value,
        missing=None,
        delta=delta,
        percent=100 * delta / abs(baseline) if baseline else None,
        word=_word(delta, baseline, better),
    )


def _word(delta: float, baseline: float, better: Better) -> Word:
    if abs(delta) <= RESOLUTION * abs(baseline):
        return "same"
    if better is None:
        return "more" if delta > 0 else "less"
    return "better" if (delta > 0) == (better == "higher") else "worse"
