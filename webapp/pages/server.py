"""The page of one server: what it is, whom it serves now, who waits, and what can be done with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from coreserver.clock import NS_PER_S, now_ns
from coreserver.records.server import ConnectionRecord, Event
from webapp import formatting
from webapp.formatting import Figure
from webapp.forms.experiment_form import LaunchForm, launch_form, targets_of
from webapp.forms.schema_form import FormField, Problems, Submitted, fields_of
from webapp.lab import model_catalog
from webapp.lab.lab import Lab
from webapp.lab.server_snapshot import Look, Seen
from webapp.live.server_json import EVENTS_SHOWN, WAITING_SHOWN, peer
from webapp.live.sparklines import Chart, charts, rows_of
from webapp.live.worker_lanes import WINDOW_S, Lane, Span, busy_path, busy_spans, lanes_of
from webapp.pages.dashboard import RECENT_RUNS, Page, RunRow, ServerRow, address, run_row, server_row
from webapp.schemas.resources import ModelResource, RunFilter, ServerResource, StopOptions

SQUARES = 120  # of a queue's picture; in rows of SQUARES_A_ROW, a square 7 units wide every 10
SQUARES_A_ROW = 30


@dataclass(frozen=True)
class Stop:
    """A place where connections are: the kernel's queue, the server's, or in service. `path`: squares for them."""

    key: str
    label: str
    count: str
    note: str
    path: str


@dataclass(frozen=True)
class LaneRow:
    """One worker: what it does now and with whom, and a path of the last minute."""

    name: str
    does: str
    number: str
    peer: str
    for_: str
    path: str


@dataclass(frozen=True)
class WaitingRow:
    """A connection that was accepted and has no worker yet."""

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
class ServerPage(Page):
    """One server: what it is, what it does now, and what can be done with it."""

    template = "server.html"
    place = "dashboard"

    row: ServerRow
    reason: str
    home: str
    facts: tuple[Figure, ...]
    stops: tuple[Stop, ...]
    lanes: tuple[LaneRow, ...]
    more_lanes: str
    waiting: tuple[WaitingRow, ...]
    more_waiting: str
    charts: tuple[Chart, ...]
    outcomes: tuple[Figure, ...]
    events: tuple[EventRow, ...]
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
        """The title of the tab."""
        return f"Server {self.row.id}: {self.row.name}"


def server_page(
    lab: Lab, server_id: int, submitted: Submitted, *, problems: Problems | None = None, problem: str = ""
) -> ServerPage:
    """The page of one server, its forms holding `submitted`."""
    minute_ago = now_ns() - WINDOW_S * NS_PER_S
    look = lab.servers.look(server_id, Seen(minute_ago, minute_ago, event_ns=0))
    server = look.server
    problems = problems or {}
    listening = targets_of([server])
    [drain] = fields_of(StopOptions, {"drain_s": "1", **submitted}, problems)
    stats = server.stats
    lanes = lanes_of(look)
    queue = [record for record in look.open if record.started_ns is None]
    spans = busy_spans(look.ended, [lane.name for lane in lanes.shown])
    return ServerPage(
        row=server_row(server),
        reason=server.reason.detail if server.reason else "",
        home=_home(look),
        facts=_server_facts(look),
        stops=_stops(server),
        lanes=tuple(_lane_row(lane, spans.get(lane.name, []), look.at_ns) for lane in lanes.shown),
        more_lanes=more_lanes(lanes.more, lanes.more_serving),
        waiting=tuple(_waiting_row(record, look.at_ns) for record in queue[:WAITING_SHOWN]),
        more_waiting=formatting.count(max(len(queue) - WAITING_SHOWN, 0)),
        charts=charts(rows_of(look.samples), look.at_ns, is_alone=_is_alone(server)) if server.address else (),
        outcomes=formatting.pairs({name: value for name, value in stats.outcomes.items() if value}) if stats else (),
        events=tuple(_event_row(event, look.at_ns) for event in reversed(look.events[-EVENTS_SHOWN:])),
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


def _is_alone(server: ServerResource) -> bool:
    return bool(server.config.get("placement") == "process")


def _home(look: Look) -> str:
    """Where it runs, in words; empty while it does not."""
    if look.server.pid is None:
        return ""
    where = "a process of its own" if _is_alone(look.server) else "threads of the lab"
    settled = "".join(f", {formatting.label(name)} {value}" for name, value in look.details.items())
    return f"{where}, pid {look.server.pid}{settled}"


def _server_facts(look: Look) -> tuple[Figure, ...]:
    server = look.server
    return (
        Figure("design", server.model),
        Figure("address", address(server) or "none"),
        Figure("process", "none" if server.pid is None else str(server.pid)),
        *formatting.pairs({f"{name} in use": value for name, value in look.details.items()}),
        Figure("made", formatting.moment(server.created_at)),
    )


# --- where connections are -------------------------------------------------------------------------------------------


def _stops(server: ServerResource) -> tuple[Stop, ...]:
    stats = server.stats
    if stats is None or server.address is None:
        return ()
    return (
        _stop("accept_queue", "wait in the kernel's queue", stats.accept_queue),
        _stop("waiting", "wait in the server's queue", stats.waiting),
        _stop("in_service", "in service", stats.in_service),
    )


def _stop(key: str, label: str, number: int | None) -> Stop:
    path, each = squares(number or 0)
    return Stop(key, label, formatting.count(number), f"a square is {each} connections" if each > 1 else "", path)


def squares(number: int) -> tuple[str, int]:
    """A square for each of `number`, as an SVG path, or for every so many of them where that would be too many."""
    each = 1
    if number > SQUARES:
        power = 10 ** int(math.log10(number / SQUARES))
        each = next(power * step for step in (1, 2, 5, 10) if power * step * SQUARES >= number)
    places = (divmod(place, SQUARES_A_ROW) for place in range(math.ceil(number / each)))
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
        peer=peer(record),
        for_=age(at_ns - since),
        path=busy_path(spans, since, at_ns),
    )


def more_lanes(lanes: int, serving: int) -> str:
    """What is said of workers for which there is no room; the same words as in `server_lanes.js`."""
    return f"and {formatting.count(lanes)} more, serving {formatting.count(serving)} in all" if lanes else ""


def _waiting_row(record: ConnectionRecord, at_ns: int) -> WaitingRow:
    return WaitingRow(formatting.count(record.number), peer(record), age(at_ns - record.accepted_ns))


def age(ns: int) -> str:
    """How long something has lasted so far, to a tenth of a second; what began since the look has not lasted at all."""
    return f"{max(ns, 0) / NS_PER_S:.1f}{formatting.NARROW}s"


def _event_row(event: Event, at_ns: int) -> EventRow:
    at = datetime.now(UTC).timestamp() - (at_ns - event.at_ns) / NS_PER_S
    return EventRow(datetime.fromtimestamp(at).strftime("%H:%M:%S"), event.kind.replace("_", " "), event.detail)
