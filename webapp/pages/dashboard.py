"""The dashboard: servers, the forms that set up an experiment, the latest runs."""

from __future__ import annotations

from dataclasses import dataclass

from coreserver.reports.environment import describe_machine
from webapp import formatting
from webapp.formatting import Figure
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
from webapp.pages.base import Page, render
from webapp.pages.rows import RunRow, ServerRow, run_row, server_row
from webapp.schemas.resources import ModelResource, RunFilter

RECENT_RUNS = 8
MACHINE = ("cpu", "cores_usable", "memory_bytes", "load_average_1min", "kernel", "python", "gil", "somaxconn")


@dataclass(frozen=True)
class DemonstrationRow:
    """A prepared run that starts with one click."""

    name: str
    label: str
    note: str


@dataclass(frozen=True)
class DashboardPage(Page):
    """Servers, the forms that set up an experiment, the latest runs, this machine."""

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
        """Title of the browser tab."""
        return "Dashboard"


def dashboard(
    lab: Lab,
    submitted: Submitted,
    *,
    server_problems: Problems | None = None,
    run_problems: Problems | None = None,
    problem: str = "",
) -> DashboardPage:
    """Return the dashboard with `submitted` in its forms and `problem` above the form that was submitted."""
    models, machine = model_catalog.all_models(), describe_machine()
    known = {model.name: model for model in models}
    model = known.get(submitted.get("model", ""), known[DEFAULT_MODEL])
    servers = lab.servers.all()
    run_problems = run_problems or {}
    inline = {name.removeprefix("server."): why for name, why in run_problems.items() if name.startswith("server.")}
    about_run = bool(run_problems) or server_problems is None
    elsewhere = (
        [TargetChoice(ELSEWHERE, "an external server, at the address below")] if lab.settings.allow_target else []
    )
    own = TargetChoice(OWN_SERVER, f"a new {model.name} with the options above, for this run only")
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
        runs=_recent_runs(lab),
        machine=formatting.pairs({name: getattr(machine, name) for name in MACHINE}, missing="not known"),
        demonstrations=tuple(DemonstrationRow(name, spec.label, spec.note) for name, spec in demonstrations().items()),
    )


def render_servers(lab: Lab) -> str:
    """Render the list of servers as a fragment of the dashboard."""
    return render("fragments/servers.html", servers=[server_row(server) for server in lab.servers.all()])


def render_recent_runs(lab: Lab) -> str:
    """Render the latest runs as a fragment of the dashboard."""
    return render("fragments/recent_runs.html", runs=_recent_runs(lab))


def _recent_runs(lab: Lab) -> tuple[RunRow, ...]:
    return tuple(run_row(run) for run in lab.runs.find(RunFilter(limit=RECENT_RUNS)).runs)
