"""`serverlab import`: files of runs into the lab that is running."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from webapp.cli.run import EXIT_NO_SERVER, EXIT_USAGE, Failure, running_lab
from webapp.client import LabClient, LabError, LabUnreachable
from webapp.settings import Settings


def import_files(files: Sequence[Path], settings: Settings, url: str | None) -> Iterator[str]:
    """A line for each file once the lab has it. Failure: there is no lab, or it does not take that file."""
    address = url or running_lab(settings)
    if address is None:
        raise Failure("no lab is running that could keep a run; start one with: serverlab serve", EXIT_NO_SERVER)
    with LabClient(address) as lab:
        for file in files:
            try:
                run = lab.import_run(file)
            except OSError as error:
                raise Failure(f"{file}: {error.strerror}", EXIT_USAGE) from error
            except LabUnreachable as error:
                raise Failure(error.detail, EXIT_NO_SERVER) from error
            except LabError as error:
                told = "; ".join(f"{each.field}: {each.message}" for each in error.errors) or error.detail
                raise Failure(f"{file}: {told}", EXIT_USAGE) from error
            yield f"{file}: run {run.id}, {address.rstrip('/')}{run.links['page']}"
