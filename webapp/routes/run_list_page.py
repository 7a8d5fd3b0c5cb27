"""The list of runs as a page, and what is done with the runs that are ticked in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from webapp.forms.schema_form import check, document_of
from webapp.pages.run_list import delete_page, deleted_page, runs_page
from webapp.problems import FieldError, Invalid
from webapp.routes.dependencies import LabDep
from webapp.schemas.resources import RunFilter

MAX_TICKED = 500  # a page of the list has no more

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


def _ticked(request: Request) -> list[int]:
    return run_ids(request.query_params.getlist("run"), most=MAX_TICKED)


async def _submitted(request: Request) -> list[int]:
    try:
        typed = parse_qs((await request.body()).decode("ascii", "replace"), max_num_fields=MAX_TICKED)
    except ValueError:
        raise Invalid("the form has more fields than any form of this lab") from None
    return run_ids(typed.get("run", []), most=MAX_TICKED)


Ticked = Annotated[list[int], Depends(_ticked)]
Submitted = Annotated[list[int], Depends(_submitted)]


def run_ids(written: Sequence[str], *, least: int = 1, most: int) -> list[int]:
    """The ids of runs as a query or form names them, each once, in that order; Invalid (field `run`)."""
    found = list(dict.fromkeys(int(text) if _is_id(text) else 0 for text in written))
    if 0 in found:
        why = "must be the number of a run"
    elif not least <= len(found) <= most:
        why = f"tick {least} to {most} runs, not {len(found) or 'none'}"
    else:
        return found
    raise Invalid(why, errors=[FieldError("run", why)])


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 17 and 0 < int(text) < 2**53


@router.get("/runs")
def show_runs(request: Request, lab: LabDep) -> HTMLResponse:
    """Runs that match the query."""
    submitted = {name: value for name, value in request.query_params.items() if value}
    which, problems = check(RunFilter, document_of(RunFilter, submitted))
    page = runs_page(lab, which or RunFilter(), submitted, problems)
    return HTMLResponse(page.html(), 422 if problems or page.problem else 200)


@router.get("/runs/delete")
def confirm(lab: LabDep, ticked: Ticked) -> HTMLResponse:
    """Ask once more before runs are deleted."""
    return HTMLResponse(delete_page(lab, ticked).html())


@router.post("/runs/delete")
def delete(lab: LabDep, submitted: Submitted) -> HTMLResponse:
    """Delete runs, and say of each whether that worked."""
    page = deleted_page(lab, submitted)
    return HTMLResponse(page.html(), 409 if page.refused else 200)
