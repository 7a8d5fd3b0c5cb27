"""The list of runs as a page, and the actions on selected runs."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from webapp.forms.schema_form import check, document_of
from webapp.pages.run_list import delete_page, deleted_page, runs_page
from webapp.problems import Invalid
from webapp.routes.dependencies import LabDep, parse_run_ids
from webapp.schemas.resources import RunFilter

MAX_SELECTED = 500  # the largest page of the list

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


def _selected(request: Request) -> list[int]:
    return parse_run_ids(request.query_params.getlist("run"), most=MAX_SELECTED)


async def _submitted(request: Request) -> list[int]:
    try:
        typed = parse_qs((await request.body()).decode("ascii", "replace"), max_num_fields=MAX_SELECTED)
    except ValueError:
        raise Invalid("the form has too many fields") from None
    return parse_run_ids(typed.get("run", []), most=MAX_SELECTED)


Selected = Annotated[list[int], Depends(_selected)]
Submitted = Annotated[list[int], Depends(_submitted)]


@router.get("/runs")
def show_runs(request: Request, lab: LabDep) -> HTMLResponse:
    """Show the runs that match the query."""
    submitted = {name: value for name, value in request.query_params.items() if value}
    which, problems = check(RunFilter, document_of(RunFilter, submitted))
    page = runs_page(lab, which or RunFilter(), submitted, problems)
    return HTMLResponse(page.html(), 422 if problems or page.problem else 200)


@router.get("/runs/delete")
def confirm(lab: LabDep, selected: Selected) -> HTMLResponse:
    """Ask for confirmation before runs are deleted."""
    return HTMLResponse(delete_page(lab, selected).html())


@router.post("/runs/delete")
def delete(lab: LabDep, submitted: Submitted) -> HTMLResponse:
    """Delete runs and report the result of each."""
    page = deleted_page(lab, submitted)
    return HTMLResponse(page.html(), 409 if page.refused else 200)
