"""`serverlab compare`: stored runs side by side at the shell."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from webapp import formatting
from webapp.cli.run import EXIT_NO_SERVER, Failure, failure, running_lab
from webapp.client import LabClient, LabError
from webapp.compare import ComparedValue, Comparison
from webapp.serving import CannotServe, embedded
from webapp.settings import Settings

COLUMN = 26  # characters of a run's column; the first has a little more


def comparison_at(settings: Settings, url: str | None, run_ids: Sequence[int]) -> Comparison:
    """The runs side by side, asked of the lab at `url`, of the data dir's running one, or of one made for the purpose.

    Raises:
        Failure: there is no such lab, or it cannot compare them.
    """
    with _lab(settings, url) as lab:
        try:
            return lab.compare(*run_ids)
        except LabError as error:
            raise failure(error) from error


@contextlib.contextmanager
def _lab(settings: Settings, url: str | None) -> Iterator[LabClient]:
    with contextlib.ExitStack() as stack:
        address = url or running_lab(settings)
        if address is None:
            try:
                address = stack.enter_context(embedded(replace(settings, host="127.0.0.1", port=0)))
            except CannotServe as error:
                raise Failure(str(error), EXIT_NO_SERVER) from error
        yield stack.enter_context(LabClient(address))


def lines(found: Comparison) -> Iterator[str]:
    """What differs first, then every figure with its distance from the first run's."""
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


def _cell(value: ComparedValue, written: Callable[[float], str]) -> str:
    if value.value is None:
        return value.missing or "-"
    percent = "" if value.percent is None or value.word == "same" else f" {value.percent:+.1f} %"
    text = written(value.value).replace(formatting.NARROW, " ")
    return f"{text}{percent} {value.word or ''}".rstrip()


def _row(name: str, cells: Iterator[str]) -> str:
    return (
        f"{_cut(name, COLUMN + 6):<{COLUMN + 6}}"
        + "".join(f"{_cut(cell, COLUMN):<{COLUMN}}" for cell in cells).rstrip()
    )


def _cut(text: str, room: int) -> str:
    return text if len(text) < room else f"{text[: room - 2]}…"
