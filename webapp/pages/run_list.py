"""Contexts of the list of runs and of the pages that delete selected runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args
from urllib.parse import urlencode

from webapp import formatting
from webapp.forms.schema_form import FormField, Problems, Submitted, fields_of
from webapp.lab import model_catalog
from webapp.lab.lab import Lab
from webapp.pages.base import Page
from webapp.pages.rows import RunRow, run_row
from webapp.problems import Invalid, NotFound, Problem
from webapp.schemas.resources import EXTERNAL, RunFilter, RunSort

SORTS = {
    "-created_at": "newest first",
    "created_at": "oldest first",
    "label": "label, from A",
    "-label": "label, from Z",
    "model": "design, from A",
    "-model": "design, from Z",
    "verdict": "verdict, worst first",
    "-verdict": "verdict, best first",
    "duration_s": "shortest first",
    "-duration_s": "longest first",
    "response_p50_ms": "lowest median response first",
    "-response_p50_ms": "highest median response first",
    "response_p99_ms": "lowest p99 response first",
    "-response_p99_ms": "highest p99 response first",
    "-throughput_messages_per_s": "highest throughput first",
    "throughput_messages_per_s": "lowest throughput first",
}


@dataclass(frozen=True)
class Heading:
    """Heading of a column; `url` sorts by the column, empty if it cannot be sorted."""

    words: str
    url: str = ""
    sorted: str = ""  # ascending, descending, or empty: sorted by another column
    is_number: bool = False
    is_roomy: bool = False


@dataclass(frozen=True)
class Choice:
    """One option of a select element."""

    value: str
    words: str
    is_chosen: bool


@dataclass(frozen=True)
class RunsPage(Page):
    """The list of runs: one page of those that match a filter, and the form that imports a run."""

    template = "runs.html"
    place = "runs"

    runs: tuple[RunRow, ...]
    headings: tuple[Heading, ...]
    filters: tuple[FormField, ...]
    url: str
    servers: tuple[Choice, ...]
    sorts: tuple[Choice, ...]
    limit: str
    problem: str
    is_filtered: bool
    first_url: str
    next_url: str
    next_words: str
    import_reasons: tuple[str, ...]
    import_limit: str

    @property
    def title(self) -> str:
        """Title of the browser tab."""
        return "Runs"


def runs_page(
    lab: Lab, which: RunFilter, submitted: Submitted, problems: Problems, *, import_reasons: tuple[str, ...] = ()
) -> RunsPage:
    """Return the first page of the runs that match a filter, or the page at its cursor.

    Args:
        which: the parsed query; ignored if there are `problems`.
        submitted: the query as typed, without empty fields; shown in the form.
        problems: invalid fields of the query; if there are any, the list is empty.
        import_reasons: why an uploaded file was not imported.
    """
    try:
        listed = None if problems else lab.runs.find(which)
    except Invalid as problem:
        listed, problems = None, {error.field: error.message for error in problem.errors}
    chosen = {name: value for name, value in submitted.items() if name in RunFilter.model_fields and name != "cursor"}
    fields = fields_of(RunFilter, submitted, problems, only=("label", "model", "state", "verdict"))
    cursor = listed.next_cursor if listed else None
    return RunsPage(
        runs=tuple(run_row(run) for run in listed.runs) if listed else (),
        headings=_headings(which.sort, chosen),
        filters=tuple(
            _filter(field, [*(model.name for model in model_catalog.all_models()), EXTERNAL]) for field in fields
        ),
        url=_address({name: value for name, value in submitted.items() if name in RunFilter.model_fields}),
        servers=_servers(lab, submitted.get("server_id", "")),
        sorts=tuple(Choice(value, words, value == which.sort) for value, words in SORTS.items()),
        limit=submitted.get("limit", ""),
        problem=_unplaced(problems, {field.name for field in fields}),
        is_filtered=bool(chosen.keys() - {"sort", "limit"}),
        first_url=_address(chosen) if "cursor" in submitted else "",
        next_url=_address(chosen, cursor=cursor) if cursor else "",
        next_words="Older runs" if which.sort == "-created_at" else "Next page",
        import_reasons=import_reasons,
        import_limit=formatting.size(lab.settings.max_import_bytes),
    )


def _address(chosen: Mapping[str, str], **more: str) -> str:
    query = urlencode({**chosen, **more})
    return f"/runs?{query}" if query else "/runs"


def _headings(sort: str, chosen: Mapping[str, str]) -> tuple[Heading, ...]:
    """Return the headings of the list; the link of the column that the list is sorted by reverses the order."""

    def sorts(words: str, first: str, *, is_number: bool = False, is_roomy: bool = False) -> Heading:
        column = first.removeprefix("-")
        other = first.removeprefix("-") if first.startswith("-") else f"-{first}"
        state = "" if sort.removeprefix("-") != column else "descending" if sort.startswith("-") else "ascending"
        url = _address(chosen, sort=other if sort == first else first)
        return Heading(words, url, state, is_number=is_number, is_roomy=is_roomy)

    return (
        sorts("run", "label"),
        sorts("state, verdict", "verdict"),
        sorts("design", "model", is_roomy=True),
        Heading("clients", is_number=True, is_roomy=True),
        sorts("took", "duration_s", is_number=True),
        sorts("median response", "response_p50_ms", is_number=True, is_roomy=True),
        sorts("p99 response", "response_p99_ms", is_number=True, is_roomy=True),
        sorts("messages/s", "-throughput_messages_per_s", is_number=True, is_roomy=True),
        sorts("created", "-created_at", is_roomy=True),
    )


def _filter(field: FormField, models: Sequence[str]) -> FormField:
    choices = tuple(models) if field.name == "model" else field.choices
    return replace(field, kind="choice", choices=("", *choices), help="") if choices else replace(field, help="")


def _servers(lab: Lab, chosen: str) -> tuple[Choice, ...]:
    """Return the options of the server filter, including a chosen server that was deleted, because its runs remain."""
    named = {str(server.id): server.name for server in lab.servers.all()}
    if chosen.isdecimal():
        named.setdefault(chosen, f"server {chosen}")
    return tuple(Choice(value, words, value == chosen) for value, words in {"": "any", **named}.items())


def _unplaced(problems: Problems, placed: Iterable[str]) -> str:
    """Return the problems of query parameters without a form field as one text."""
    return "; ".join(f"{name.replace('_', ' ')}: {why}" for name, why in problems.items() if name not in {*placed})


# --- deletion --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DeletePage(Page):
    """Confirmation of a deletion.

    `going` are deleted if the user confirms; `staying` have not ended and are kept; `gone` do not exist.
    """

    template = "runs_delete.html"
    place = "runs"

    going: tuple[RunRow, ...]
    staying: tuple[RunRow, ...]
    gone: tuple[str, ...]

    @property
    def title(self) -> str:
        """Title of the browser tab."""
        return "Delete runs"


def delete_page(lab: Lab, run_ids: Iterable[int]) -> DeletePage:
    """Return the page that asks for confirmation."""
    rows, gone = [], []
    for run_id in run_ids:
        try:
            rows.append(run_row(lab.runs.get(run_id)))
        except NotFound:
            gone.append(f"run {run_id}")
    return DeletePage(
        going=tuple(row for row in rows if row.is_over),
        staying=tuple(row for row in rows if not row.is_over),
        gone=tuple(gone),
    )


@dataclass(frozen=True)
class Refused:
    """A run that was not deleted, with the reason."""

    name: str
    why: str


@dataclass(frozen=True)
class DeletedPage(Page):
    """Result of a deletion."""

    template = "runs_deleted.html"
    place = "runs"

    deleted: tuple[str, ...]
    refused: tuple[Refused, ...]

    @property
    def title(self) -> str:
        """Title of the browser tab."""
        return "Deleted runs"


def deleted_page(lab: Lab, run_ids: Iterable[int]) -> DeletedPage:
    """Delete the runs and return the page with the result; a run that cannot be deleted does not stop the others."""
    deleted, refused = [], []
    for run_id in run_ids:
        name = f"run {run_id}"
        try:
            label = lab.runs.get(run_id).label
            lab.runs.delete(run_id)
        except Problem as problem:
            refused.append(Refused(name, problem.detail))
        else:
            deleted.append(f"{name} {label}".rstrip())
    return DeletedPage(deleted=tuple(deleted), refused=tuple(refused))


assert SORTS.keys() == {*get_args(RunSort)}  # noqa: S101 - every order has a label
