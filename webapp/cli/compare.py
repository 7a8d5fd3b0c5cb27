"""`serverlab compare`: compare stored runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import typer

from coreserver.reports.comparison import ComparedValue
from webapp import formatting
from webapp.cli.lab_access import command_error, own_lab, running_lab
from webapp.cli.shared import DataDir, Format, LabUrl, load_settings, report_errors
from webapp.cli.stdout import put
from webapp.client import LabClient, LabError
from webapp.schemas.comparison import Comparison
from webapp.settings import Settings

COLUMN = 26  # characters per run


def compare_command(
    runs: Annotated[list[int], typer.Argument(min=1, help="Ids of two to eight runs; the first is the baseline.")],
    url: LabUrl = None,
    data_dir: DataDir = None,
    output: Annotated[Format, typer.Option("--format", help="json: as the REST API returns it.")] = Format.TEXT,
) -> None:
    """Compare stored runs: the differences of their settings, and every figure with its difference from the baseline.

    Exit status: 0 success; 1 output error; 2 a run does not exist or has no report; 3 no lab.
    """
    with report_errors():
        found = fetch_comparison(load_settings(data_dir=data_dir), url, runs)
        put(found.model_dump_json(indent=2) if output is Format.JSON else "\n".join(render_lines(found)))


def fetch_comparison(settings: Settings, url: str | None, run_ids: Sequence[int]) -> Comparison:
    """Compare runs of the lab at `url`, else of the data directory's running lab, else of one started for this call.

    Raises:
        CommandError: there is no such lab, or it cannot compare these runs.
    """
    with contextlib.ExitStack() as stack:
        address = url or running_lab(settings) or stack.enter_context(own_lab(settings))
        lab = stack.enter_context(LabClient(address))
        try:
            return lab.compare(*run_ids)
        except LabError as error:
            raise command_error(error) from error


def render_lines(found: Comparison) -> Iterator[str]:
    """Yield the remarks, the differences of the settings, and every figure with its difference from the baseline."""
    for remark in found.remarks:
        yield f"{remark.severity:<8} {remark.detail}"
    yield ""
    yield _row("", (f"run {run.id} {run.verdict.status}" for run in found.runs))
    yield _row("", (run.label or run.model for run in found.runs))
    for difference in found.differences:
        settings = (str(setting.value) if setting.is_set else "not set" for setting in difference.values)
        yield _row(difference.path, settings)
    section = ""
    for figure in found.figures:
        if figure.section != section:
            section = figure.section
            yield f"\n{section}"
        yield _row(figure.label, (_cell(value, formatting.UNITS[figure.unit]) for value in figure.values))


def _cell(value: ComparedValue, render: Callable[[float], str]) -> str:
    if value.value is None:
        return value.missing or "-"
    percent = "" if value.percent is None or value.word == "same" else f" {value.percent:+.1f} %"
    text = render(value.value).replace(formatting.NARROW, " ")
    return f"{text}{percent} {value.word or ''}".rstrip()


def _row(name: str, cells: Iterator[str]) -> str:
    return (
        f"{_cut(name, COLUMN + 6):<{COLUMN + 6}}"
        + "".join(f"{_cut(cell, COLUMN):<{COLUMN}}" for cell in cells).rstrip()
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) < width else f"{text[: width - 2]}…"
