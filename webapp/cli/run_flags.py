"""Flags of `serverlab run`, grouped by what they describe. A field is a flag; None means that it was not given."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from coreserver.models import MODELS, designs_with
from webapp.cli.shared import AllowTarget, DataDir, Format, LabUrl
from webapp.recipes.flags import DESIGN_FLAGS


def _option_of(name: str) -> str:
    return f"Option of {', '.join(designs_with(name))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFlags:
    """The server: a design with its options, a server of the lab, or an external server."""

    model: Annotated[
        str | None,
        typer.Option(help=f"Design of a server for this run only: {', '.join(MODELS)}.  [default: sequential]"),
    ] = None
    server: Annotated[int | None, typer.Option(min=1, help="Id of a listening server of the lab.")] = None
    target: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Address of an external server, within an --allow-target.")
    ] = None
    workers: Annotated[int | None, typer.Option(help=f"{_option_of('workers')}.")] = None
    queue_limit: Annotated[int | None, typer.Option(help=f"{_option_of('queue_limit')}.")] = None
    when_full: Annotated[str | None, typer.Option(help=f"{_option_of('when_full')}: wait or refuse.")] = None
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Any option of the design, as GET /api/v1/models lists them; repeatable."
        ),
    ] = None

    def options(self) -> dict[str, Any]:
        """Return the options of the design that have a flag of their own and were given."""
        return {name: value for name, value in given_flags(self).items() if name in DESIGN_FLAGS}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFlags:
    """The client groups. All flags except `group` describe one group, whose kind follows from the flags given."""

    clients: Annotated[
        int | None,
        typer.Option(min=1, help="Number of clients; with --duration each sends messages one by one."),
    ] = None
    script: Annotated[
        str | None, typer.Option(help="Script of the clients: `article`, or a file with a JSON list of steps.")
    ] = None
    rate: Annotated[
        float | None, typer.Option(help="Clients that arrive per second, whether or not others are served.")
    ] = None
    stages: Annotated[
        str | None, typer.Option(metavar="RATE:TIME,...", help="Rates one after the other, such as 100:5s,400:5s.")
    ] = None
    ramp: Annotated[
        bool | None, typer.Option("--ramp", help="With --stages: change the rate linearly to the rate of each stage.")
    ] = None
    arrivals: Annotated[str | None, typer.Option(help="With --rate or --stages: poisson or constant.")] = None
    duration: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long clients keep starting new messages: 5s, 500ms, 2m.")
    ] = None
    warm_up: Annotated[
        str | None, typer.Option(metavar="TIME", help="Time at the beginning that is left out of the figures.")
    ] = None
    think: Annotated[
        str | None, typer.Option(metavar="TIME", help="Pause of a client between a reply and its next message.")
    ] = None
    think_spread: Annotated[
        str | None, typer.Option(help="fixed: every pause is --think; exponential: --think is the mean.")
    ] = None
    message_bytes: Annotated[int | None, typer.Option(help="Payload of a message.")] = None
    messages_per_connection: Annotated[int | None, typer.Option(help="Messages after which a client reconnects.")] = (
        None
    )
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long a client waits for its greeting or a reply.")
    ] = None
    group: Annotated[
        list[str] | None,
        typer.Option(metavar="JSON", help="A further client group, as in the body of a run; repeatable."),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFlags:
    """The rest of the run, its objectives, and the output."""

    client_processes: Annotated[int | None, typer.Option(min=1, help="Number of client processes.")] = None
    client_cpus: Annotated[
        str | None, typer.Option(metavar="0,1,...", help="CPUs of the client processes.  [default: all]")
    ] = None
    spec: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The whole run as JSON, as the REST API accepts it; -: standard input."),
    ] = None
    slo: Annotated[
        list[str] | None,
        typer.Option(metavar="FIGURE<NUMBER", help="An objective, such as response_p99_ms<50; repeatable."),
    ] = None
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of arrival times, messages and their order.  [default: 0]")
    ] = None
    label: Annotated[str | None, typer.Option(help="Short name of the run.")] = None
    note: Annotated[str | None, typer.Option(help="Free text about the run.")] = None
    output: Annotated[Format, typer.Option("--format", help="json: print the report alone, as one document.")] = (
        Format.TEXT
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabFlags:
    """The lab that executes the run."""

    url: LabUrl = None
    data_dir: DataDir = None
    allow_target: AllowTarget = None


def given_flags(flags: ServerFlags | LoadFlags | RunFlags) -> dict[str, Any]:
    """Return the flags that were given, by name."""
    return {name: value for name, value in asdict(flags).items() if value is not None}
