"""The verdict of a report, in a separate module, because clients of the REST API read it without the whole report."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from coreserver.reports.schema.figures import Shape

MAX_REASONS = 200
MAX_TEXT = 4000  # characters

Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
Word = Annotated[str, StringConstraints(max_length=400)]
Severity = Literal["invalid", "suspect", "note"]  # a note alone leaves a run valid


class VerdictReason(Shape):
    """A reason for the verdict, or a note."""

    code: Word = Field(description="stable identifier, such as `clients_late`")
    severity: Severity = Field(description="a note alone leaves a run valid")
    detail: Text = Field(description="one sentence")


class Verdict(Shape):
    """Whether the figures of the run are reliable."""

    status: Literal["valid", "suspect", "invalid"] = Field(
        description="severity of the worst reason; valid if there are only notes"
    )
    reasons: list[VerdictReason] = Field(max_length=MAX_REASONS, description="the worst ones first")
