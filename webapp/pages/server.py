"""The page of one server: its state, its connections and workers, and the forms that act on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from coreserver.clock import NS_PER_S
from coreserver.records.server import ConnectionRecord, Event
from webapp import formatting
from webapp.formatting import Figure
from webapp.forms.experiment_form import LaunchForm, launch_form, targets_of
from webapp.forms.schema_form import FormField, Problems, Submitted, fields_of
from webapp.lab import model_catalog
from webapp.lab.lab import Lab
from webapp.lab.server_snapshot import Look
from webapp.live.server_json import MAX_EVENTS, MAX_WAITING, peer_text
from webapp.live.sparklines import Chart, sample_rows, server_sparklines
from webapp.live.worker_lanes import Lane, Span, busy_path, busy_spans, list_lanes, minute_ago
from webapp.pages.base import Page, render
from webapp.pages.dashboard import RECENT_RUNS
from webapp.pages.rows import RunRow, ServerRow, address_text, run_row, server_row
from webapp.schemas.resources import ModelResource, RunFilter, ServerResource, StopOptions

MAX_SQUARES = 120  # for one place
SQUARES_PER_ROW = 30


@dataclass(frozen=True)
class Stop:
    """A place where connections are: backlog, queue or in service. `path` draws squares for them."""

    key: str
    label: str
    count: str
    note: str
    path: str


@dataclass(frozen=True)
class LaneRow:
    """One worker: what it does now, for which client, and a path of its last minute."""

    name: str
    does: str
    number: str
    peer: str
    for_: str
    path: str


@dataclass(frozen=True)
class WaitingRow:
    """An accepted connection that has no worker yet."""

    number: str
    peer: str
    for_: str


@dataclass(frozen=True)
class EventRow:
    """One event of a server."""

    at: str
    kind: str
    detail: str


@dataclass(frozen=True)
class ServerNow:
    """The connections and workers of a server at one instant, and what has happened since its start."""

    id: int
    stops: tuple[Stop, ...]
    lanes: tuple[LaneRow, ...]
    more_lanes: str
    waiting: tuple[WaitingRow, ...]
    more_waiting: str
    outcomes: tuple[Figure, ...]
    events: tuple[EventRow, ...]


@dataclass(frozen=True)
class ServerMinute:
    """The sparklines of a server's last minute."""

    id: int
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class ServerPage(Page):
    """One server: its state, its connections and workers, and the forms that act on it."""

    template = "server.html"
    place = "dashboard"

    row: ServerRow
    reason: str
    home: str
    facts: tuple[Figure, ...]
    now: ServerNow
    minute: ServerMinute
    config: tuple[Figure, ...]
    model: ModelResource
    launch: LaunchForm | None
    drain: FormField
    is_up: bool
    in_use: str
    runs: tuple[RunRow, ...]
    problem: str = ""

    @property
    def title(self) -> str:
        """Title of the browser tab."""
        return f"Server {self.row.id}: {self.row.name}"


def server_page(
    lab: Lab, server_id: int, submitted: Submitted, *, problems: Problems | None = None, problem: str = ""
) -> ServerPage:
    """Return the page of one server with `submitted` in its forms."""
    look = lab.servers.look(server_id, minute_ago())
    server = look.server
    problems = problems or {}
    listening = targets_of([server])
    [drain] = fields_of(StopOptions, {"drain_s": "1", **submitted}, problems)
    return ServerPage(
        row=server_row(server),
        reason=server.reason.detail if server.reason else "",
        home=_home(look),
        facts=_server_facts(look),
        now=_server_now(look),
        minute=_server_minute(look),
        config=formatting.pairs(
            {name: value for name, value in server.config.items() if name not in ("model", "name")}
        ),
        model=model_catalog.get_model(server.model),
        launch=launch_form("server", f"/servers/{server.id}", listening, submitted, problems, problem)
        if listening
        else None,
        drain=drain,
        is_up=server.state in ("starting", "listening", "draining"),
        in_use=", ".join(f"run {run_id}" for run_id in server.run_ids),
        runs=tuple(run_row(run) for run in lab.runs.find(RunFilter(server_id=server.id, limit=RECENT_RUNS)).runs),
        problem="" if listening and "clients" in " ".join(problems) else problem,
    )


def render_now(lab: Lab, server_id: int) -> str:
    """Render a server's connections and workers at this instant as a fragment of its page."""
    now = _server_now(lab.servers.look(server_id, minute_ago()))
    return render("fragments/server_now.html", now=now) + render("fragments/server_past.html", now=now)


def render_minute(lab: Lab, server_id: int) -> str:
    """Render a server's last minute as a fragment of its page."""
    return render("fragments/server_minute.html", minute=_server_minute(lab.servers.look(server_id, minute_ago())))


def _server_now(look: Look) -> ServerNow:
    stats = look.server.stats
    lanes = list_lanes(look)
    queue = [record for record in look.open if record.started_ns is None]
    spans = busy_spans(look.ended, [lane.name for lane in lanes.shown])
    return ServerNow(
        id=look.server.id,
        stops=_stops(look.server),
        lanes=tuple(_lane_row(lane, spans.get(lane.name, []), look.at_ns) for lane in lanes.shown),
        more_lanes=more_lanes(lanes.more, lanes.more_serving),
        waiting=tuple(_waiting_row(record, look.at_ns) for record in queue[:MAX_WAITING]),
        more_waiting=formatting.count(len(queue) - MAX_WAITING) if len(queue) > MAX_WAITING else "",
        outcomes=formatting.pairs({name: value for name, value in stats.outcomes.items() if value}) if stats else (),
        events=tuple(_event_row(event, look.at_ns) for event in reversed(look.events[-MAX_EVENTS:])),
    )


def _server_minute(look: Look) -> ServerMinute:
    if look.server.address is None:
        return ServerMinute(look.server.id, ())
    every_other = look.samples[::-2][::-1]  # with the latest; a sparkline has half as many pixels as samples
    charts = server_sparklines(sample_rows(every_other), look.at_ns, is_alone=_is_alone(look.server))
    return ServerMinute(look.server.id, charts)


def _is_alone(server: ServerResource) -> bool:
    return bool(server.config.get("placement") == "process")


def _home(look: Look) -> str:
    """Return where the server runs; empty while it does not run."""
    if look.server.pid is None:
        return ""
    where = "its own process" if _is_alone(look.server) else "threads of the lab"
    settled = "".join(f", {formatting.label(name)} {value}" for name, value in look.details.items())
    return f"{where}, pid {look.server.pid}{settled}"


def _server_facts(look: Look) -> tuple[Figure, ...]:
    server = look.server
    return (
        Figure("design", server.model),
        Figure("address", address_text(server) or "none"),
        Figure("process", "none" if server.pid is None else str(server.pid)),
        *formatting.pairs({f"{name} in use": value for name, value in look.details.items()}),
        Figure("created", formatting.moment(server.created_at)),
    )


# --- where connections are -------------------------------------------------------------------------------------------


def _stops(server: ServerResource) -> tuple[Stop, ...]:
    stats = server.stats
    if stats is None or server.address is None:
        return ()
    return (
        _stop("accept_queue", "in the backlog", stats.accept_queue),
        _stop("waiting", "in the queue", stats.waiting),
        _stop("in_service", "in service", stats.in_service),
    )


def _stop(key: str, label: str, number: int | None) -> Stop:
    path, each = squares(number or 0)
    return Stop(key, label, formatting.count(number), f"one square is {each} connections" if each > 1 else "", path)


def squares(number: int) -> tuple[str, int]:
    """Return an SVG path of squares for `number` connections, and how many connections one square is."""
    each = 1
    if number > MAX_SQUARES:
        power = 10 ** int(math.log10(number / MAX_SQUARES))
        each = next(power * step for step in (1, 2, 5, 10) if power * step * MAX_SQUARES >= number)
    places = (divmod(place, SQUARES_PER_ROW) for place in range(math.ceil(number / each)))
    return "".join(f"M{column * 10} {row * 10}h7v7h-7z" for row, column in places), each


def _lane_row(lane: Lane, spans: list[Span], at_ns: int) -> LaneRow:
    record = lane.record
    if record is None:
        return LaneRow(lane.name, lane.does, "", "", "", busy_path(spans, None, at_ns))
    since = record.started_ns or at_ns
    return LaneRow(
        name=lane.name,
        does=lane.does if lane.serving == 1 else f"{lane.does} {formatting.count(lane.serving)}, longest",
        number=formatting.count(record.number),
        peer=peer_text(record),
        for_=formatting.age((at_ns - since) / NS_PER_S),
        path=busy_path(spans, since, at_ns),
    )


def more_lanes(lanes: int, serving: int) -> str:
    """Return the note about workers that are not shown."""
    return f"and {formatting.count(lanes)} more, serving {formatting.count(serving)} in all" if lanes else ""


def _waiting_row(record: ConnectionRecord, at_ns: int) -> WaitingRow:
    return WaitingRow(
        formatting.count(record.number), peer_text(record), formatting.age((at_ns - record.accepted_ns) / NS_PER_S)
    )


def _event_row(event: Event, at_ns: int) -> EventRow:
    at = datetime.now(UTC).timestamp() - (at_ns - event.at_ns) / NS_PER_S
    return EventRow(datetime.fromtimestamp(at).strftime("%H:%M:%S"), event.kind.replace("_", " "), event.detail)
