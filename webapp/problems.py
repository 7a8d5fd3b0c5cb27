"""Every way a request can be refused, as RFC 9457 problems: a status, a title, what happened, and which field is meant.

The lab raises them, the routes under `/api` answer them as `application/problem+json`, and the pages show the same
words beside the field. A problem never repeats what the asker sent; it names the field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PROBLEM_JSON = "application/problem+json"


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; `field` is a dotted path as the asker wrote it, such as `clients.0.count`."""

    field: str
    message: str


class Problem(Exception):
    """Base of all refusals; `errors` names fields where the fault lies in one, `headers` go out with the answer."""

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
        """The problem as the JSON object of RFC 9457."""
        return {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "errors": [{"field": error.field, "message": error.message} for error in self.errors],
        }


class BadRequest(Problem):
    """The request itself is malformed, as with a Host that is not ours."""

    status = 400
    title = "Bad request"


class Forbidden(Problem):
    """Another site's page asked, not ours and not a script."""

    status = 403
    title = "Forbidden"


class NotFound(Problem):
    """No such server, run or page."""

    status = 404
    title = "Not found"


class NoResult(NotFound):
    """The run is there; it ended without a report."""


class UnreadableReport(NoResult):
    """The stored report is damaged, or a newer program wrote it."""


class UnreadableRecords(NotFound):
    """The run has its report, but its records are damaged, or a newer program wrote them."""


class MethodNotAllowed(Problem):
    """The address exists, the method does not."""

    status = 405
    title = "Method not allowed"


class Conflict(Problem):
    """The request is fine, the state of things is not: wrong state, port in use, name taken."""

    status = 409
    title = "Conflict"


class TooLarge(Problem):
    """The body is longer than the lab reads."""

    status = 413
    title = "Body too large"


class WrongMediaType(Problem):
    """The body is of a type that is not taken at this address."""

    status = 415
    title = "Unsupported media type"


class Invalid(Problem):
    """A field holds what it must not hold; `errors` says which and why."""

    status = 422
    title = "Invalid request"


class Quota(Problem):
    """A limit of the lab is reached; the detail names it."""

    status = 429
    title = "Limit reached"

    def __init__(self, limit: str, detail: str, *, retry_after_s: int = 5) -> None:
        super().__init__(f"{limit}: {detail}", headers={"Retry-After": str(retry_after_s)})
        self.limit = limit


class Unavailable(Problem):
    """The machine refuses for now: no threads, no descriptors, the database is locked, the lab is closing."""

    status = 503
    title = "Unavailable"

    def __init__(self, detail: str, *, retry_after_s: int = 5) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class StorageFull(Problem):
    """The database cannot be written: the disk is full or failing. Servers keep serving."""

    status = 507
    title = "Storage failed"
