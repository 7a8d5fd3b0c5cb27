"""Exceptions of webapp: refused requests as RFC 9457 problems, and where the other exceptions are defined.

ServerlabError                    coreserver.errors; the message is shown to the user
├── Problem                       a refused request, with an HTTP status
│   ├── BadRequest 400, Forbidden 403, MethodNotAllowed 405, TooLarge 413, WrongMediaType 415, Invalid 422
│   ├── NotFound 404              no such server, run or page
│   │   ├── NoResult              the run ended without a report
│   │   │   └── UnreadableReport  … or this version cannot read it
│   │   └── UnreadableRecords     this version cannot read the stored records
│   ├── Conflict 409              not possible in the present state
│   ├── Quota 429                 a limit of the lab
│   ├── Unavailable 503           the machine or the database cannot serve the request at present
│   └── StorageFull 507           the database cannot be written
├── CannotServe                   webapp.serving: the lab cannot start
│   └── NotLoopback               … because other machines could reach its address
├── DataDirInUse                  webapp.storage.data_dir: another lab uses the data directory
├── DatabaseError                 webapp.storage.database: the database cannot be opened
├── TargetUnavailable             webapp.lab.run_target: the server of a run does not listen
├── RenderFailed, ProcessEnded, ProcessStuck    webapp.charts.rendering.worker_handle: the chart helper failed
├── LabError                      webapp.client: the lab refused a request of the client
│   └── LabUnreachable            … or does not answer
└── CommandError                  webapp.cli.exit_codes: ends a command with an exit code
    ├── UsageError                … 2, a flag or a file is not valid
    └── CannotWrite               webapp.cli.stdout: 1, the output could not be written

The lab raises problems; routes under `/api` send them as `application/problem+json`, and pages show the messages at the
fields. A problem names the invalid field and never repeats its value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coreserver.errors import ServerlabError

PROBLEM_JSON = "application/problem+json"


@dataclass(frozen=True, slots=True)
class FieldError:
    """Error in one field; `field` is its dotted path in the request, such as `clients.0.count`."""

    field: str
    message: str


class Problem(ServerlabError):
    """A refused request. `errors` names the invalid fields, if any; `headers` are added to the response."""

    status = 500
    title = "Internal error"

    def __init__(
        self, detail: str, *, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        """Return the problem as the JSON object of RFC 9457."""
        return {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "errors": [{"field": error.field, "message": error.message} for error in self.errors],
        }


class BadRequest(Problem):
    """The request is malformed, or its Host header does not name the lab."""

    status = 400
    title = "Bad request"


class Forbidden(Problem):
    """The request comes from a page of another origin."""

    status = 403
    title = "Forbidden"


class NotFound(Problem):
    """No such server, run or page."""

    status = 404
    title = "Not found"


class NoResult(NotFound):
    """The run exists but ended without a report."""


class UnreadableReport(NoResult):
    """The stored report is damaged, or a newer program wrote it."""


class UnreadableRecords(NotFound):
    """The run has its report, but its records are damaged, or a newer program wrote them."""


class MethodNotAllowed(Problem):
    """The address does not support this method."""

    status = 405
    title = "Method not allowed"


class Conflict(Problem):
    """The request is valid but not possible in the present state: wrong state, port or name in use."""

    status = 409
    title = "Conflict"


class TooLarge(Problem):
    """The body is longer than the limit."""

    status = 413
    title = "Body too large"


class WrongMediaType(Problem):
    """The address does not accept bodies of this type."""

    status = 415
    title = "Unsupported media type"


class Invalid(Problem):
    """A field has an invalid value; `errors` says which field and why."""

    status = 422
    title = "Invalid request"


class Quota(Problem):
    """A limit of the lab is reached; the detail names the setting."""

    status = 429
    title = "Limit reached"

    def __init__(self, limit: str, detail: str, *, retry_after_s: int = 5) -> None:
        super().__init__(f"{limit}: {detail}", headers={"Retry-After": str(retry_after_s)})
        self.limit = limit


class Unavailable(Problem):
    """Not possible now: no threads or descriptors, the database is locked, or the lab is closing."""

    status = 503
    title = "Unavailable"

    def __init__(self, detail: str, *, retry_after_s: int = 5) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class StorageFull(Problem):
    """The database cannot be written because the disk is full or fails. Servers keep running."""

    status = 507
    title = "Storage failed"
