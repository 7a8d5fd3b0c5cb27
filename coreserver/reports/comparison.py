"""Reports side by side: what differs in what was asked, and every figure with its distance from the first run's.

Pure functions of reports. The first run is the baseline. A distance is called better or worse only where that is known
of the figure, and only between runs that can be believed; else it is merely more or less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from coreserver.reports.figure_values import DURATION, NOT_MEASURED, FigureValue, Unit, as_compared, figures_of
from coreserver.reports.schema import Report, Verdict
from webapp.schemas.run_progress import Answer

MIN_RUNS, MAX_RUNS = 2, 8  # runs of a comparison
RESOLUTION = 0.001  # histograms keep three significant digits: what is closer is the same
Word = Literal["same", "better", "worse", "more", "less"]
Part = Literal["server", "clients", "schedule", "environment"]

# What differs from run to run without anybody having set it.
_NOT_SETTINGS = frozenset({"environment.load_average_1min"})


class ComparedRun(Answer):
    """One of the runs."""

    id: int
    label: str
    state: str
    model: str
    placement: str | None = Field(description="null of a server that is not ours")
    verdict: Verdict
    sentence: str | None


class Setting(Answer):
    """What a run has at some place of its config; `is_set` is false where it has no such place."""

    is_set: bool
    value: Any = Field(description="null also where it is not set")


class Difference(Answer):
    """A place of the configs, such as `server.workers` or `clients.0.count`, with what each run has there."""

    path: str
    part: Part
    values: list[Setting] = Field(description="in the order of the runs")


class ComparedValue(Answer):
    """One run's figure and its distance from the baseline's."""

    value: int | float | None
    missing: str | None = Field(description="why there is no value: too few samples, none reached this, not measured")
    delta: int | float | None = Field(description="value minus the baseline's; null for the baseline itself")
    percent: float | None = Field(description="the delta in percent of the baseline's value; null where that is 0")
    word: Word | None = Field(description="better and worse only where known; null where there is nothing to compare")


class ComparedFigure(Answer):
    """One figure of all runs."""

    name: str = Field(description="its path in the report; of a figure made from several, a name of its own")
    label: str
    section: str
    unit: Unit = Field(description="of the values and deltas; `number`: a count, or a plain number")
    better: Literal["lower", "higher"] | None = Field(description="which way is better; null: neither, or not known")
    values: list[ComparedValue] = Field(description="in the order of the runs")


class Remark(Answer):
    """Something to know before believing a difference."""

    code: str
    severity: Literal["invalid", "suspect", "note"]
    detail: str


class Comparison(Answer):
    """Runs side by side; the first one is the baseline."""

    runs: list[ComparedRun]
    remarks: list[Remark]
    differences: list[Difference] = Field(description="what was not the same in config, schedule and environment")
    same: list[Difference] = Field(description="what was the same")
    figures: list[ComparedFigure]
    links: dict[str, str]


def compare(typed: Sequence[Report]) -> Comparison:
    """These reports (at least two) side by side, in this order."""
    reports = [report.model_dump(mode="json") for report in typed]
    runs = [_run(report) for report in reports]
    settings = _settings(reports)
    differences = [setting for setting in settings if _differs(setting)]
    same_load = not any(setting.part == "clients" for setting in differences)
    return Comparison(
        runs=runs,
        remarks=[*_remarks(runs, differences)],
        differences=differences,
        same=[setting for setting in settings if not _differs(setting)],
        figures=[*_figures(reports, runs, same_load=same_load)],
        links=_links([run.id for run in runs]),
    )


def _run(report: Mapping[str, Any]) -> ComparedRun:
    run = report["run"]
    return ComparedRun(
        id=run["id"],
        label=run["label"],
        state=run["state"],
        model=report["server"]["model"],
        placement=report["server"].get("placement"),
        verdict=Verdict(**report["verdict"]),
        sentence=run.get("sentence"),
    )


def _links(run_ids: Iterable[int]) -> dict[str, str]:
    query = "&".join(f"run={run_id}" for run_id in run_ids)
    api = "/api/v1/compare"
    percentiles = f"{api}/charts/percentiles.json?{query}"
    return {"self": f"{api}?{query}", "page": f"/compare?{query}", "chart_percentiles": percentiles}


# --- what was asked --------------------------------------------------------------------------------------------------


def _settings(reports: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """Every place that any of the runs has a setting at, in the order of the reports."""
    flat = [dict(flattened(_asked(report))) for report in reports]
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
    """Parts in their order, and client groups in theirs, also where the first run has fewer or other ones."""
    number = path.split(".")[1] if path.startswith("clients.") else ""
    return _PARTS.index(_part(path)), int(number) if number.isdecimal() else -1


def _part(path: str) -> Part:
    first = path.partition(".")[0]
    if first in ("server", "environment"):
        return "server" if first == "server" else "environment"
    return "schedule" if first in ("seed", "schedule_sha256") else "clients"


def _asked(report: Mapping[str, Any]) -> dict[str, Any]:
    """What decided how the run went; the server's own config, also where the run only named the server."""
    config, server = report["run"]["config"], report["server"]
    load = {name: value for name, value in config.items() if name not in ("label", "note", "server", "seed")}
    return {
        "server": {**server["config"], "settled": server.get("details") or {}},
        **load,
        "seed": report["run"]["seed"],
        "schedule_sha256": report["run"].get("schedule_sha256"),
        "environment": report["environment"],
    }


def flattened(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a document by its dotted path; a list of plain values is one leaf, an empty object none."""
    if isinstance(value, Mapping):
        steps: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        steps = enumerate(value)
    else:
        yield path, value
        return
    for step, inner in steps:
        yield from flattened(inner, f"{path}.{step}" if path else str(step))


def _differs(setting: Difference) -> bool:
    first = setting.values[0]
    return any(other != first for other in setting.values[1:])


# --- what to know first ----------------------------------------------------------------------------------------------


def _remarks(runs: Sequence[ComparedRun], differences: Sequence[Difference]) -> Iterator[Remark]:
    for run in runs:
        if run.verdict.status == "invalid":
            told = "its figures cannot be believed, so no distance to them is called better or worse"
            yield Remark(code="run_invalid", severity="invalid", detail=f"{_judged(run)}: {told}")
    if suspects := [_judged(run) for run in runs if run.verdict.status == "suspect"]:
        told = "figures may be off; read the reasons before you lean on a small difference"
        yield Remark(code="run_suspect", severity="suspect", detail=f"{', '.join(suspects)}: {told}")
    for run in runs:
        if run.state != "completed":
            told = f"run {run.id} {run.state}: its figures are of the part that was done"
            yield Remark(code="not_completed", severity="suspect", detail=told)
    paths = {difference.path for difference in differences}
    if any(difference.part == "environment" for difference in differences):
        told = "the runs were not made with the same machine and software"
        yield Remark(code="environments_differ", severity="suspect", detail=told)
    if "schedule_sha256" in paths:
        told = "arrivals and messages were not the same: another seed, or other clients"
        yield Remark(code="schedules_differ", severity="note", detail=told)
    if any(run.placement == "thread" for run in runs):
        told = (
            "CPU time, memory and switches are of the process that serves; under placement thread that is the lab's own"
        )
        yield Remark(code="shared_process", severity="note", detail=told)
    told = "each column is one run; the same run twice differs by itself, so repeat runs before you trust a small delta"
    yield Remark(code="one_run_each", severity="note", detail=told)


def _judged(run: ComparedRun) -> str:
    """Its verdict with the reasons that made it so."""
    status = run.verdict.status
    why = [reason.code.replace("_", " ") for reason in run.verdict.reasons if reason.severity == status]
    return f"run {run.id} is {status}" + (f" ({', '.join(why)})" if why else "")


# --- figures ---------------------------------------------------------------------------------------------------------


def _figures(
    reports: Sequence[Mapping[str, Any]], runs: Sequence[ComparedRun], *, same_load: bool
) -> Iterator[ComparedFigure]:
    believed = [run.verdict.status != "invalid" for run in runs]
    for figure in figures_of(reports):
        better = figure.better if same_load or figure.path != DURATION else None
        known = [as_compared(figure, report) for report in reports]
        if all(one.value is None and one.missing == NOT_MEASURED for one in known):
            continue
        baseline = known[0].value
        values = [ComparedValue(value=known[0].value, missing=known[0].missing, delta=None, percent=None, word=None)]
        for one, is_believed in zip(known[1:], believed[1:], strict=True):
            values.append(_value(one, baseline, better if is_believed and believed[0] else None))
        yield ComparedFigure(
            name=figure.name,
            label=figure.label,
            section=figure.section,
            unit=figure.unit,
            better=better,
            values=values,
        )


def _value(known: FigureValue, baseline: float | None, better: str | None) -> ComparedValue:
    if known.value is None or baseline is None:
        return ComparedValue(value=known.value, missing=known.missing, delta=None, percent=None, word=None)
    delta = known.value - baseline
    return ComparedValue(
        value=known.value,
        missing=None,
        delta=delta,
        percent=100 * delta / abs(baseline) if baseline else None,
        word=_word(delta, baseline, better),
    )


def _word(delta: float, baseline: float, better: str | None) -> Word:
    if abs(delta) <= RESOLUTION * abs(baseline):
        return "same"
    if better is None:
        return "more" if delta > 0 else "less"
    return "better" if (delta > 0) == (better == "higher") else "worse"
