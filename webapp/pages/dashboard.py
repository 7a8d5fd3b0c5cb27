"""What each page shows: one frozen context a page, made from what the lab says. Templates only set it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from coreserver.reports.environment import describe_machine
from webapp import formatting
from webapp.assets import asset_dir
from webapp.charts.rendering.vega_version import BUNDLE_PATH
from webapp.formatting import Figure, StatusBadge
from webapp.forms.experiment_form import (
    DEFAULT_MODEL,
    ELSEWHERE,
    OWN_SERVER,
    DesignForm,
    LaunchForm,
    TargetChoice,
    design_form,
    launch_form,
    targets_of,
)
from webapp.forms.schema_form import Problems, Submitted
from webapp.lab import model_catalog
from webapp.lab.demonstrations import demonstrations
from webapp.lab.lab import Lab
from webapp.schemas.resources import ModelResource, RunFilter, RunResource, ServerResource

RECENT_RUNS = 8
NOTE_SHOWN = 120  # characters of a note in a list
MACHINE = ("cpu", "cores_usable", "memory_bytes", "load_average_1min", "kernel", "python", "gil", "somaxconn")

_environment = Environment(
    loader=FileSystemLoader(asset_dir("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["vega_url"] = BUNDLE_PATH


@dataclass(frozen=True)
class Page:
    """Base of every page's context: the file that sets it out, its title and its place in the navigation."""

    template: ClassVar[str]
    place: ClassVar[str] = ""

    @property
    def title(self) -> str:
        """The title of the tab."""
        raise NotImplementedError

    def html(self) -> str:
        """The whole page."""
        return _environment.get_template(self.template).render(page=self)


# --- rows that several pages show ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ServerRow:
    """One server in a list."""

    id: int
    name: str
    model: str
    mark: StatusBadge
    address: str
    waiting: str
    in_service: str
    ended: str


@dataclass(frozen=True)
class RunRow:
    """One run in a list."""

    id: int
    label: str
    model: str
    mark: StatusBadge
    verdict: StatusBadge | None
    clients: str
    sentence: str
    note: str
    took: str
    median: str
    p99: str
    throughput: str
    at: str
    at_iso: str
    is_over: bool
    is_imported: bool


def server_row(server: ServerResource) -> ServerRow:
    """A server as a line of a table."""
    stats = server.stats
    return ServerRow(
        id=server.id,
        name=server.name,
        model=server.model,
        mark=formatting.mark(server.state),
        address=address(server),
        waiting=formatting.count(stats.waiting if stats else None),
        in_service=formatting.count(stats.in_service if stats else None),
        ended=formatting.count(sum(stats.outcomes.values()) if stats else None),
    )


def run_row(run: RunResource) -> RunRow:
    """A run as a line of a table."""
    return RunRow(
        id=run.id,
        label=run.label,
        model=run.model,
        mark=formatting.mark(run.state),
        verdict=formatting.mark(run.verdict.status) if run.verdict else None,
        clients=_clients(run),
        sentence=run.sentence or (run.reason.detail if run.reason else ""),
        note=_first_line(run.note),
        took=formatting.seconds(run.totals.duration_s) if run.totals else formatting.NONE,
        median=formatting.ms(run.response_p50_ms),
        p99=formatting.ms(run.response_p99_ms),
        throughput=formatting.rate(run.totals.throughput_messages_per_s) if run.totals else formatting.NONE,
        at=formatting.moment(run.created_at),
        at_iso=formatting.iso(run.created_at),
        is_over=run.is_over,
        is_imported=run.imported,
    )


def _first_line(note: str) -> str:
    """As much of a note as a list has room for."""
    line = note.strip().partition("\n")[0]
    return line if len(line) <= NOTE_SHOWN else line[: NOTE_SHOWN - 1].rstrip() + "…"


def _clients(run: RunResource) -> str:
    """How many clients it had; of arrivals under way only the schedule knows."""
    if run.totals:
        return formatting.count(run.totals.connections.due)
    counts = [group.get("count") for group in run.config["clients"]]
    return formatting.NONE if None in counts else formatting.count(sum(counts))


def address(server: ServerResource) -> str:
    """Where a server listens; empty while it does not."""
    return f"{server.address.host}:{server.address.port}" if server.address else ""


@dataclass(frozen=True)
class DemonstrationRow:
    """One experiment that starts in one click."""

    name: str
    label: str
    note: str


# --- the dashboard ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DashboardPage(Page):
    """Servers, the forms that set an experiment up, the last runs, this machine."""

    template = "dashboard.html"
    place = "dashboard"

    servers: tuple[ServerRow, ...]
    models: tuple[ModelResource, ...]
    design: DesignForm
    launch: LaunchForm
    runs: tuple[RunRow, ...]
    machine: tuple[Figure, ...]
    demonstrations: tuple[DemonstrationRow, ...]

    @property
    def title(self) -> str:
        """The title of the tab."""
        return "Dashboard"


def dashboard(
    lab: Lab,
    submitted: Submitted,
    *,
    server_problems: Problems | None = None,
    run_problems: Problems | None = None,
    problem: str = "",
) -> DashboardPage:
    """The dashboard, its forms holding `submitted`; `problem` is said above the form that was sent."""
    models, machine = model_catalog.all_models(), describe_machine()
    known = {model.name: model for model in models}
    model = known.get(submitted.get("model", ""), known[DEFAULT_MODEL])
    servers = lab.servers.all()
    run_problems = run_problems or {}
    inline = {name.removeprefix("server."): why for name, why in run_problems.items() if name.startswith("server.")}
    about_run = bool(run_problems) or server_problems is None
    elsewhere = (
        [TargetChoice(ELSEWHERE, "a server elsewhere, at the address below")] if lab.settings.allow_target else []
    )
    own = TargetChoice(OWN_SERVER, f"a fresh {model.name} as set up above, for this run only")
    return DashboardPage(
        servers=tuple(server_row(server) for server in servers),
        models=tuple(models),
        design=design_form(model, submitted, {**inline, **(server_problems or {})}, "" if about_run else problem),
        launch=launch_form(
            "dashboard",
            f"/?model={model.name}",
            [own, *targets_of(servers), *elsewhere],
            submitted,
            run_problems,
            problem * about_run,
        ),
        runs=tuple(run_row(run) for run in lab.runs.find(RunFilter(limit=RECENT_RUNS)).runs),
        machine=formatting.pairs({name: getattr(machine, name) for name in MACHINE}, missing="not known"),
        demonstrations=tuple(DemonstrationRow(name, spec.label, spec.note) for name, spec in demonstrations().items()),
    )


# --- when there is no page -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ErrorPage(Page):
    """Why there is nothing to show, and where to go instead."""

    template = "error.html"

    status: int
    heading: str
    detail: str

    @property
    def title(self) -> str:
        """The title of the tab."""
        return self.heading
