"""Pages. GET reads; POST changes and redirects with 303, or shows the same page with the errors at the fields."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from webapp.forms.experiment_form import run_spec, server_config
from webapp.forms.schema_form import Submitted, check, document_of, read_form
from webapp.lab.demonstrations import demonstrations
from webapp.lab.lab import Lab
from webapp.pages.base import Page
from webapp.pages.dashboard import dashboard
from webapp.pages.run import run_page
from webapp.pages.server import server_page
from webapp.problems import Conflict, Invalid, NotFound, Problem
from webapp.routes.dependencies import LabDep, RunId, ServerId
from webapp.schemas.resources import RunPatch, StopOptions
from webapp.schemas.run_spec import RunSpec

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


async def _submitted(request: Request) -> dict[str, str]:
    try:
        return read_form(await request.body())
    except ValueError:
        raise Invalid("the form has too many fields") from None


FormDep = Annotated[dict[str, str], Depends(_submitted)]


def _page(page: Page, status: int = 200) -> HTMLResponse:
    return HTMLResponse(page.html(), status_code=status)


def _redirect(path: str) -> RedirectResponse:
    return RedirectResponse(path, status_code=303)


def _base_url(request: Request) -> str:
    return str(request.base_url).rstrip("/")


# --- dashboard and servers -------------------------------------------------------------------------------------------


@router.get("/")
def show_dashboard(request: Request, lab: LabDep) -> HTMLResponse:
    """Show servers, forms and recent runs. The query can fill in the forms, so a link can set up an experiment."""
    return _page(dashboard(lab, dict(request.query_params)))


@router.get("/servers")
def show_servers() -> Response:
    """Redirect to the dashboard, which lists the servers."""
    return _redirect("/")


@router.post("/servers")
def start_server(lab: LabDep, submitted: FormDep) -> Response:
    """Start a server from the form."""
    config, problems = server_config(submitted)
    if config is None:
        return _page(dashboard(lab, submitted, server_problems=problems), 422)
    try:
        server = lab.servers.create(config)
    except Problem as problem:
        found = _fields(problem)
        return _page(
            dashboard(lab, submitted, server_problems=found, problem=_unplaced(problem, found)), problem.status
        )
    return _redirect(f"/servers/{server.id}")


@router.get("/servers/{server_id}")
def show_server(request: Request, lab: LabDep, server_id: ServerId) -> HTMLResponse:
    """Show one server. The query can fill in the form for clients."""
    return _page(server_page(lab, server_id, dict(request.query_params)))


@router.post("/servers/{server_id}/start")
def restart_server(lab: LabDep, server_id: ServerId) -> Response:
    """Start a stopped server."""
    try:
        lab.servers.start(server_id)
    except Conflict as problem:
        return _page(server_page(lab, server_id, {}, problem=problem.detail), problem.status)
    return _redirect(f"/servers/{server_id}")


@router.post("/servers/{server_id}/stop")
def stop_server(lab: LabDep, server_id: ServerId, submitted: FormDep) -> Response:
    """Drain and stop a server."""
    options, problems = check(StopOptions, document_of(StopOptions, submitted))
    if options is None:
        return _page(server_page(lab, server_id, submitted, problems=problems), 422)
    lab.servers.stop(server_id, options.drain_s)
    return _redirect(f"/servers/{server_id}")


@router.post("/servers/{server_id}/delete")
def delete_server(lab: LabDep, server_id: ServerId) -> Response:
    """Stop and delete a server."""
    try:
        lab.servers.delete(server_id)
    except Conflict as problem:
        return _page(server_page(lab, server_id, {}, problem=problem.detail), problem.status)
    return _redirect("/")


# --- runs ------------------------------------------------------------------------------------------------------------


@router.post("/runs")
def create_run(lab: LabDep, submitted: FormDep) -> Response:
    """Run clients against a server."""
    spec, problems = run_spec(submitted)
    if spec is None:
        return _show_form(lab, submitted, problems, "", 422)
    try:
        run = lab.runs.create(spec)
    except Problem as problem:
        found = _fields(problem)
        return _show_form(lab, submitted, found, _unplaced(problem, found), problem.status)
    return _redirect(f"/runs/{run.id}")


@router.post("/demonstrations/{name}")
def start_demonstration(lab: LabDep, name: str) -> Response:
    """Start a demonstration."""
    if name not in demonstrations():
        raise NotFound("there is no such demonstration")
    try:
        run = lab.runs.create(demonstrations()[name])
    except Problem as problem:
        return _page(dashboard(lab, {}, problem=problem.detail), problem.status)
    return _redirect(f"/runs/{run.id}")


def _show_form(lab: Lab, submitted: Submitted, problems: dict[str, str], problem: str, status: int) -> HTMLResponse:
    """Return the page that contained the form, with the submitted values and the errors."""
    server = submitted.get("server", "")
    if submitted.get("origin") == "server" and any(str(known.id) == server for known in lab.servers.all()):
        return _page(server_page(lab, int(server), submitted, problems=problems, problem=problem), status)
    return _page(dashboard(lab, submitted, run_problems=problems, problem=problem), status)


@router.get("/runs/{run_id}")
def show_run(request: Request, lab: LabDep, run_id: RunId) -> HTMLResponse:
    """Show one run."""
    return _page(run_page(lab, run_id, _base_url(request)))


@router.post("/runs/{run_id}/cancel")
def cancel_run(lab: LabDep, run_id: RunId) -> RedirectResponse:
    """Cancel a run and keep its records."""
    lab.runs.cancel(run_id)
    return _redirect(f"/runs/{run_id}")


@router.post("/runs/{run_id}/again")
def repeat_run(request: Request, lab: LabDep, run_id: RunId) -> Response:
    """Create a run with the same config."""
    spec, _ = check(RunSpec, lab.runs.get(run_id).config)
    if spec is None:
        stale = "its settings are not valid in this version of the lab or on this machine"
        return _page(run_page(lab, run_id, _base_url(request), stale), 409)
    try:
        repeated = lab.runs.create(spec)
    except Problem as problem:
        return _page(run_page(lab, run_id, _base_url(request), problem.detail), problem.status)
    return _redirect(f"/runs/{repeated.id}")


@router.post("/runs/{run_id}/edit")
def edit_run(request: Request, lab: LabDep, run_id: RunId, submitted: FormDep) -> Response:
    """Change the label and the note of a run."""
    typed = {name: submitted.get(name, "").replace("\r\n", "\n") for name in RunPatch.model_fields}
    patch, problems = check(RunPatch, typed)
    if patch is None:
        return _page(run_page(lab, run_id, _base_url(request), submitted=typed, problems=problems), 422)
    lab.runs.edit(run_id, patch)
    return _redirect(f"/runs/{run_id}")


@router.post("/runs/{run_id}/delete")
def delete_run(request: Request, lab: LabDep, run_id: RunId) -> Response:
    """Delete a run."""
    try:
        lab.runs.delete(run_id)
    except Conflict as problem:
        return _page(run_page(lab, run_id, _base_url(request), problem.detail), problem.status)
    return _redirect("/runs")


# --- problems --------------------------------------------------------------------------------------------------------


def _fields(problem: Problem) -> dict[str, str]:
    """Return the errors by field."""
    return {error.field: error.message for error in problem.errors}


def _unplaced(problem: Problem, fields: dict[str, str]) -> str:
    """Return the message above the form: none if a field has it."""
    return "" if fields else problem.detail
