"""Entry point of the console script `serverlab`. Importing all commands takes a second, so it happens in `main`."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from webapp.cli.exit_codes import EXIT_INTERRUPTED

if TYPE_CHECKING:
    import typer


def main() -> None:
    """Run the command that the arguments name, and end the process."""
    _open_missing_streams()
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(EXIT_INTERRUPTED))  # there is nothing to clean up yet
    app = build_app()
    signal.signal(signal.SIGINT, before)
    app()


def build_app() -> typer.Typer:
    """Import the commands and assemble them."""
    import typer

    from webapp.cli.compare import compare_command
    from webapp.cli.import_runs import import_command
    from webapp.cli.run import run_command
    from webapp.cli.serve import serve_command
    from webapp.version import lab_version

    app = typer.Typer(
        help="A lab for concurrent TCP server designs.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
    )

    def options(
        version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
    ) -> None:
        if version:
            typer.echo(f"serverlab {lab_version()}")
            raise typer.Exit

    app.callback(invoke_without_command=True)(options)
    app.command("serve")(serve_command)
    app.command("run")(run_command)
    app.command("compare")(compare_command)
    app.command("import")(import_command)
    return app


def _open_missing_streams() -> None:
    """Replace closed standard streams; otherwise the first file or socket would become the standard output."""
    if sys.stdin is None:
        os.open(os.devnull, os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - open until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
