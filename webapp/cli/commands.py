"""The commands: `serve` for the browser and for scripts, `run` and `compare` for experiments at a shell."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from coreserver.models import MODELS, designs_with
from webapp.cli.compare import comparison_at, lines
from webapp.cli.import_runs import import_files
from webapp.cli.run import EXIT_UNWRITTEN, EXIT_USAGE, Failure, carry_out
from webapp.cli.run_flags import (
    LoadFlags,
    Request,
    UsageError,
    cpus_of,
    groups_of,
    objectives_of,
    server_of,
    spec_of,
    strict,
)
from webapp.cli.stdout import CannotWrite, put
from webapp.serving import CannotServe, NotLoopback, serve
from webapp.settings import Settings
from webapp.version import lab_version

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


def _designs(option: str) -> str:
    """Return the names of the designs with this option, as the help lists them."""
    return ", ".join(designs_with(option))


class Format(StrEnum):
    """How a command prints."""

    TEXT = "text"
    JSON = "json"


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
        serve(settings, _announce)
    except NotLoopback as error:
        _fail(str(error), EXIT_USAGE)
    except CannotServe as error:
        _fail(str(error), 1)


@app.command("run")
def _run(
    model: Annotated[
        str | None,
        typer.Option(help=f"Design of a server that lives for this run: {', '.join(MODELS)}.  [default: sequential]"),
    ] = None,
    server: Annotated[int | None, typer.Option(min=1, help="A listening server of the lab, by id, instead.")] = None,
    target: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A server that is not ours, within an --allow-target.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help=f"Option of {_designs('workers')}.")] = None,
    queue_limit: Annotated[int | None, typer.Option(help=f"Option of {_designs('queue_limit')}.")] = None,
    when_full: Annotated[str | None, typer.Option(help=f"Option of {_designs('when_full')}: wait or refuse.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Any option of the design (GET /api/v1/models has them all); may be repeated."
        ),
    ] = None,
    clients: Annotated[
        int | None, typer.Option(min=1, help="How many clients; with --duration each sends message after message.")
    ] = None,
    script: Annotated[
        str | None, typer.Option(help="What clients play: `article`, or a file with a JSON list of steps.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Clients that arrive in a second, served or not.")] = None,
    stages: Annotated[
        str | None, typer.Option(metavar="RATE:TIME,...", help="Rates one after the other, as 100:5s,400:5s.")
    ] = None,
    ramp: Annotated[
        bool, typer.Option("--ramp", help="With --stages: in each the rate goes evenly to the stage's own.")
    ] = False,
    arrivals: Annotated[str | None, typer.Option(help="With --rate or --stages: poisson or constant.")] = None,
    duration: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long messages begin: 5s, 500ms, 2m.")
    ] = None,
    warm_up: Annotated[
        str | None, typer.Option(metavar="TIME", help="Left out of the figures at the beginning.")
    ] = None,
    think: Annotated[str | None, typer.Option(metavar="TIME", help="Each client's pause after a reply.")] = None,
    think_spread: Annotated[
        str | None, typer.Option(help="fixed: always --think; exponential: so long on average.")
    ] = None,
    message_bytes: Annotated[int | None, typer.Option(help="Payload of a message.")] = None,
    messages_per_connection: Annotated[int | None, typer.Option(help="Then the client connects anew.")] = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Without greeting or reply for so long, a client gives up.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(metavar="JSON", help="A client group more, as in a run's body; may be repeated.")
    ] = None,
    client_processes: Annotated[int | None, typer.Option(min=1, help="Processes that share the clients.")] = None,
    client_cpus: Annotated[
        str | None, typer.Option(metavar="0,1,...", help="CPUs that these may run on.  [default: all]")
    ] = None,
    spec: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The whole run as JSON, as REST takes it; - reads standard input."),
    ] = None,
    slo: Annotated[
        list[str] | None,
        typer.Option(metavar="FIGURE<NUMBER", help="What must be reached, as response_p99_ms<50; may be repeated."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of arrival times, messages and their mix.  [default: 0]")
    ] = None,
    label: Annotated[str | None, typer.Option(help="A short name to find the run by.")] = None,
    note: Annotated[str | None, typer.Option(help="Anything worth remembering.")] = None,
    url: Annotated[
        str | None, typer.Option(envvar="SERVERLAB_URL", help="The lab to use, instead of the running one.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Whose running lab to use.")] = None,
    allow_target: AllowTarget = None,
    output: Annotated[Format, typer.Option("--format", help="json: the report alone, as one document.")] = Format.TEXT,
) -> None:
    """Send clients at a server and print what happened.

    The lab at --url is used, else the running one of the data dir, else one that lives as long as this command (and
    knows the --allow-target given here).

    Figures of --slo: {response, round_trip, lateness, connect, backlog, queue, greeting, session}_{mean, min, p50, p90,
    p99, p99_9, max}_ms; throughput_messages_per_s; duration_s; peak_in_service; {due, connected, greeted, completed,
    failed, refused, reset, timed_out, corrupted, ...}_connections; {sent, verified, corrupted, unanswered}_messages. A
    figure that is withheld, for there were too few samples, counts as missed.

    Ends with 0; 1: the output could not be written; 2: wrong usage; 3: no lab or no server to connect to; 4: the run
    is invalid, or ended before its time; 99: an objective was missed; 130: interrupted, and the report is of the part
    that was done.
    """
    named = {"workers": workers, "queue_limit": queue_limit, "when_full": when_full}
    options = {key: value for key, value in named.items() if value is not None}
    flags = LoadFlags(
        clients=clients,
        script=script,
        rate=rate,
        stages=stages,
        ramp=ramp or None,
        arrivals=arrivals,
        duration=duration,
        warm_up=warm_up,
        think=think,
        think_spread=think_spread,
        message_bytes=message_bytes,
        messages_per_connection=messages_per_connection,
        timeout=timeout,
    )
    settings = _settings(data_dir=data_dir, allow_target=tuple(allow_target or ()) or None)
    with _failures_told():
        run: dict[str, Any] = {"seed": seed, "label": label, "note": note, "client_processes": client_processes}
        run["client_cpus"] = cpus_of(client_cpus)
        if spec is None:
            said = {name: value for name, value in run.items() if value is not None}
            destination = server_of(model, server, target, options, option or [])
            body = {"server": destination, "clients": groups_of(flags, group or []), **said}
        else:
            where = {"model": model, "server": server, "target": target, "option": option}
            body = spec_of(spec, {**where, **options, **flags.given(), "group": group, **run})
        request = Request(strict(body), objectives_of(slo or []))
        raise typer.Exit(carry_out(request, settings, url, as_json=output is Format.JSON))


@app.command("compare")
def _compare(
    runs: Annotated[list[int], typer.Argument(min=1, help="Two to eight runs; the first is the baseline.")],
    url: Annotated[
        str | None, typer.Option(envvar="SERVERLAB_URL", help="The lab to ask, instead of the running one.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Whose runs to compare.")] = None,
    output: Annotated[Format, typer.Option("--format", help="json: as REST answers it.")] = Format.TEXT,
) -> None:
    """Print stored runs side by side: what differs in what was asked, and every figure with its distance.

    Ends with 0; 1: the output could not be written; 2: there are no such runs, or one has no report; 3: no lab.
    """
    with _failures_told():
        found = comparison_at(_settings(data_dir=data_dir), url, runs)
        put(found.model_dump_json(indent=2) if output is Format.JSON else "\n".join(lines(found)))


@app.command("import")
def _import(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="A run's report.json; several are taken.")],
    url: Annotated[
        str | None, typer.Option(envvar="SERVERLAB_URL", help="The lab to use, instead of the running one.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Whose running lab to use.")] = None,
) -> None:
    """Bring runs back from files that this or another lab wrote.

    Ends with 0; 1: the output could not be written; 2: a file does not fit, and nothing of it was kept; 3: no lab is
    running.
    """
    with _failures_told():
        for line in import_files(files, _settings(data_dir=data_dir), url):
            put(line)


def _announce(url: str) -> None:
    """The one line that `serve` says; a lab whose output is full still serves."""
    try:
        put(f"Serverlab is at {url}")
    except CannotWrite as error:
        print(f"serverlab: at {url}, but {error}", file=sys.stderr)  # noqa: T201


@contextmanager
def _failures_told() -> Iterator[None]:
    """Ends the command with the exit code and the message of what goes wrong inside."""
    try:
        yield
    except UsageError as error:
        _fail(str(error), EXIT_USAGE)
    except Failure as failure:
        _fail(str(failure), failure.code)
    except CannotWrite as error:
        _fail(str(error), EXIT_UNWRITTEN)


def _settings(**flags: object) -> Settings:
    try:
        return Settings.load(os.environ, **flags)
    except ValueError as error:
        _fail(str(error), EXIT_USAGE)


def _fail(message: str, code: int) -> NoReturn:
    print(f"serverlab: {message}", file=sys.stderr)  # noqa: T201 - for the person at the shell
    raise typer.Exit(code)
