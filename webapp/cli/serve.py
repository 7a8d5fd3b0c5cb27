"""`serverlab serve`: the pages and the REST API."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from webapp.cli.exit_codes import CommandError, UsageError
from webapp.cli.shared import AllowTarget, load_settings, report_errors
from webapp.cli.stdout import CannotWrite, put
from webapp.serving import CannotServe, NotLoopback, serve


def serve_command(
    host: Annotated[str | None, typer.Option(help="Loopback address to listen on.  [default: 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free port.  [default: 8000]")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Directory of the lab's database and files.")] = None,
    allow_target: AllowTarget = None,
) -> None:
    """Serve the pages and the REST API until Ctrl-C. SERVERLAB_... environment variables set the same options."""
    with report_errors():
        settings = load_settings(host=host, port=port, data_dir=data_dir, allow_target=allow_target)
        try:
            serve(settings, _announce)
        except NotLoopback as error:
            raise UsageError(str(error)) from error
        except CannotServe as error:
            raise CommandError(str(error), 1) from error


def _announce(url: str) -> None:
    """Print the address. A failing output does not stop the lab."""
    try:
        put(f"Serverlab is at {url}")
    except CannotWrite as error:
        print(f"serverlab: at {url}, but {error}", file=sys.stderr)  # noqa: T201
