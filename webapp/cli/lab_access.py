"""Access to a lab from a command: the running one of a data directory, or one for the duration of the command."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from webapp.cli.exit_codes import EXIT_NO_SERVER, EXIT_USAGE, CommandError
from webapp.client import LabClient, LabError, LabUnreachable
from webapp.serving import CannotServe, embedded
from webapp.settings import Settings
from webapp.storage.data_dir import read_address


def running_lab(settings: Settings) -> str | None:
    """Return the address of the data directory's lab if it responds. A killed lab leaves its address behind."""
    address = read_address(settings.data_dir)
    if address is None:
        return None
    with LabClient(address, timeout_s=3.0) as lab, contextlib.suppress(LabError):
        lab.version()
        return address
    return None


@contextlib.contextmanager
def own_lab(settings: Settings) -> Iterator[str]:
    """Run a lab on a free loopback port for the duration of the block; yields its address.

    Raises:
        CommandError: it cannot start.
    """
    with contextlib.ExitStack() as stack:
        try:
            address = stack.enter_context(embedded(replace(settings, host="127.0.0.1", port=0)))
        except CannotServe as error:
            raise CommandError(str(error), EXIT_NO_SERVER) from error
        yield address


def command_error(error: LabError) -> CommandError:
    """Convert an error of the lab: 2 if the request was not valid, otherwise 3."""
    reasons = "; ".join(f"{each.field.removeprefix('server.')}: {each.message}" for each in error.errors)
    is_usage = not isinstance(error, LabUnreachable) and error.status in (400, 404, 413, 422)
    return CommandError(reasons or error.detail, EXIT_USAGE if is_usage else EXIT_NO_SERVER)
