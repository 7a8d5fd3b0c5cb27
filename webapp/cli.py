"""The `serverlab` command: `serve` for the browser and for scripts, `run` for one experiment from a shell."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from webapp.routes.system import lab_version
from webapp.run_command import EXIT_USAGE, Failure, Request, carry_out
from webapp.serve import CannotServe, NotLoopback, serve
from webapp.settings import Settings

app = typer.Typer(
    help="A lab for concurrent TCP server designs.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)


AllowTarget = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS[/BITS]:PORT[-PORT]",
        help="Where runs may be sent beside the lab's own servers, such as 127.0.0.1:9000-9100; may be repeated.",
    ),
]


class Format(StrEnum):
    """How `run` prints."""

    TEXT = "text"
    JSON = "json"


def main() -> None:
    """The console script."""
    app()


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"serverlab {lab_version()}")
        raise typer.Exit


@app.command("serve")
def _serve(
    host: Annotated[str | None, typer.Option(help="Loopback address to serve.  [default: 127.0.0.1]")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 takes any free one.  [default: 8000]")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where servers and runs are kept.")] = None,
    allow_target: AllowTarget = None,
) -> None:
    """Serve the pages and the REST API until Ctrl-C; settings also come from SERVERLAB_... variables."""
    settings = _settings(host=host, port=port, data_dir=data_dir, allow_target=tuple(allow_target or ()) or None)
    try:
        serve(settings, lambda url: print(f"Serverlab is at {url}", flush=True))  # noqa: T201 - the one line it says
    except NotLoopback as error:
        _fail(str(error), EXIT_USAGE)
    except CannotServe as error:
        _fail(str(error), 1)


@app.command("run")
def _run(
    model: Annotated[str, typer.Option(help="Design of a server that lives for this run.")] = "sequential",
    server: Annotated[int | None, typer.Option(min=1, help="A listening server of the lab, by id, instead.")] = None,
    workers: Annotated[int | None, typer.Option(help="Option of the pool designs.")] = None,
    queue_limit: Annotated[int | None, typer.Option(help="Option of bounded_pool.")] = None,
    when_full: Annotated[str | None, typer.Option(help="Option of bounded_pool: wait or refuse.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Any option of the design; may be repeated.")
    ] = None,
    clients: Annotated[int, typer.Option(min=1, help="How many clients play the script.")] = 3,
    script: Annotated[str, typer.Option(help="`article`, or a file with a JSON list of steps.")] = "article",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    label: Annotated[str, typer.Option(help="A short name to find the run by.")] = "",
    url: Annotated[
        str | None, typer.Option(envvar="SERVERLAB_URL", help="The lab to use, instead of the running one.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Whose running lab to use.")] = None,
    output: Annotated[Format, typer.Option("--format", help="json: the report alone, as one document.")] = Format.TEXT,
) -> None:
    """Send clients at a server and print what happened.

    The lab at --url is used, else the running one of the data dir, else one that lives as long as this command.

    Ends with 0; 2: wrong usage; 3: no lab or no server to connect to; 4: the run is invalid; 130: interrupted.
    """
    named = {"workers": workers, "queue_limit": queue_limit, "when_full": when_full}
    try:
        request = Request.parse(
            model=model,
            server_id=server,
            options={key: value for key, value in named.items() if value is not None},
            more_options=option or [],
            clients=clients,
            script=script,
            seed=seed,
            label=label,
        )
        raise typer.Exit(carry_out(request, _settings(data_dir=data_dir), url, as_json=output is Format.JSON))
    except Failure as failure:
        _fail(str(failure), failure.code)


def _settings(**flags: object) -> Settings:
    try:
        return Settings.load(os.environ, **flags)
    except ValueError as error:
        _fail(str(error), EXIT_USAGE)


def _fail(message: str, code: int) -> NoReturn:
    print(f"serverlab: {message}", file=sys.stderr)  # noqa: T201 - for the person at the shell
    raise typer.Exit(code)
