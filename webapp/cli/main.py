"""The console script `serverlab`. What its commands need takes a second to import, so that comes inside."""

from __future__ import annotations

import os
import signal
import sys

from webapp.cli.signals import EXIT_INTERRUPTED


def main() -> None:
    """Do what the command line says, and end the process."""
    _fill_closed_streams()
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_INTERRUPTED))  # nothing to undo yet
    from webapp.cli.commands import app

    signal.signal(signal.SIGINT, before)
    app()


def _fill_closed_streams() -> None:
    """After `>&-` the first file or socket that is opened would become the standard output."""
    if sys.stdin is None:
        os.open(os.devnull, os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
