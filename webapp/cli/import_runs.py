"""`serverlab import`: import files of runs into the running lab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from webapp.cli.exit_codes import EXIT_NO_SERVER, CommandError, UsageError
from webapp.cli.lab_access import running_lab
from webapp.cli.shared import DataDir, LabUrl, load_settings, report_errors
from webapp.cli.stdout import put
from webapp.client import LabClient, LabError, LabUnreachable
from webapp.settings import Settings


def import_command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="The report.json of a run; repeatable.")],
    url: LabUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Import runs from files that this lab or another one has written.

    Exit status: 0 success; 1 output error; 2 a file is not valid, and nothing of it was stored; 3 no lab is running.
    """
    with report_errors():
        for line in import_files(files, load_settings(data_dir=data_dir), url):
            put(line)


def import_files(files: Sequence[Path], settings: Settings, url: str | None) -> Iterator[str]:
    """Import each file, and yield one line about it.

    Raises:
        CommandError: no lab is running, or it refuses the file.
    """
    address = url or running_lab(settings)
    if address is None:
        raise CommandError("no lab is running; start one with: serverlab serve", EXIT_NO_SERVER)
    with LabClient(address) as lab:
        for file in files:
            try:
                run = lab.import_run(file)
            except OSError as error:
                raise UsageError(f"{file}: {error.strerror}") from error
            except LabUnreachable as error:
                raise CommandError(error.detail, EXIT_NO_SERVER) from error
            except LabError as error:
                reasons = "; ".join(f"{each.field}: {each.message}" for each in error.errors)
                raise UsageError(f"{file}: {reasons or error.detail}") from error
            yield f"{file}: run {run.id}, {address.rstrip('/')}{run.links['page']}"
