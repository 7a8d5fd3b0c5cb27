"""The page of one server: what it is, whom it serves now, who waits, and what can be done with it."""

from __future__ import annotations

from dataclasses import dataclass

from coreserver.clock import now_ns
from coreserver.telemetry import ConnectionRecord
from webapp import figures
from webapp.bench import LaunchForm, launch_form, targets_of
from webapp.figures import Figure
from webapp.forms import FormField, Problems, Submitted, fields_of
from webapp.lab import Lab
from webapp.pages import Page, ServerRow, address, server_row
from webapp.schemas import ModelResource, ServerResource, StopOptions

SHOWN_CONNECTIONS = 200  # open ones; the rest are counted


@dataclass(frozen=True)
class ServedRow:
    """One open connection of a server."""

    number: str
    peer: str
    worker: str
    for_: str


@dataclass(frozen=True)
class EventRow:
    """One event of a server."""

    ago: str
    kind: str
    detail: str


@dataclass(frozen=True)
class ServerPage(Page):
    """One server: what it is, what it does now, and what can be done with it."""

    template = "server.html"
    place = "dashboard"

    row: ServerRow
    reason: str
    facts: tuple[Figure, ...]
    now: tuple[Figure, ...]
    outcomes: tuple[Figure, ...]
    served: tuple[ServedRow, ...]
    waiting: tuple[ServedRow, ...]
    left_out: str
    events: tuple[EventRow, ...]
    config: tuple[Figure, ...]
    model: ModelResource
    launch: LaunchForm | None
    drain: FormField
    is_up: bool
    in_use: str
    problem: str

    @property
    def title(self) -> str:
        """The title of the tab."""
        return f"Server {self.row.id}: {self.row.name}"


def server_page(
    lab: Lab, server_id: int, submitted: Submitted, *, problems: Problems | None = None, problem: str = ""
) -> ServerPage:
    """The page of one server, its forms holding `submitted`."""
    server = lab.server(server_id)
    is_up = server.state in ("starting", "listening", "draining")
    problems = problems or {}
    records = [record for record in lab.server_connections(server_id) if record.finished_ns is None]
    now = now_ns()
    listening = targets_of([server])
    [drain] = fields_of(StopOptions, {"drain_s": "1", **submitted}, problems)
    stats = server.stats
    return ServerPage(
        row=server_row(server),
        reason=server.reason.detail if server.reason else "",
        facts=_server_facts(server),
        now=_figures_now(server),
        outcomes=figures.pairs({name: value for name, value in stats.outcomes.items() if value}) if stats else (),
        served=tuple(_served(record, now) for record in records if record.started_ns is not None)[:SHOWN_CONNECTIONS],
        waiting=tuple(_served(record, now) for record in records if record.started_ns is None)[:SHOWN_CONNECTIONS],
        left_out=figures.count(max(len(records) - SHOWN_CONNECTIONS, 0)),
        events=tuple(
            EventRow(f"{figures.seconds((now - event.at_ns) / 1e9)} ago", event.kind.replace("_", " "), event.detail)
            for event in reversed(lab.server_events(server_id))
        ),
        config=figures.pairs({name: value for name, value in server.config.items() if name not in ("model", "name")}),
        model=lab.model(server.model),
        launch=launch_form("server", listening, submitted, problems, problem) if listening else None,
        drain=drain,
        is_up=is_up,
        in_use=", ".join(f"run {run_id}" for run_id in server.run_ids),
        problem="" if listening and "clients" in " ".join(problems) else problem,
    )


def _server_facts(server: ServerResource) -> tuple[Figure, ...]:
    return (
        Figure("design", server.model),
        Figure("address", address(server) or "none"),
        Figure("process", "none" if server.pid is None else str(server.pid)),
        Figure("made", figures.moment(server.created_at)),
    )


def _figures_now(server: ServerResource) -> tuple[Figure, ...]:
    stats = server.stats
    if stats is None:
        return ()
    return (
        Figure("in service", figures.count(stats.in_service), "in_service"),
        Figure("wait in the server", figures.count(stats.waiting), "waiting"),
        Figure("wait in the kernel", figures.count(stats.accept_queue), "accept_queue"),
        Figure("threads", figures.count(stats.threads_alive), "threads_alive"),
        Figure("threads busy", figures.count(stats.threads_busy), "threads_busy"),
        Figure("accepted so far", figures.count(stats.accepted), "accepted"),
    )


def _served(record: ConnectionRecord, now: int) -> ServedRow:
    since = record.accepted_ns if record.started_ns is None else record.started_ns
    return ServedRow(
        number=figures.count(record.number),
        peer=f"{record.peer[0]}:{record.peer[1]}",
        worker=record.worker or "",
        for_=figures.seconds((now - since) / 1e9),
    )
