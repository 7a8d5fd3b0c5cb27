"""The JSON of the REST API: what is asked (strict, closed to unknown fields) and what is answered.

Requests build on the settings of `coreserver`, so a new option of a model is a field here without a further line.
Every name carries its unit; ids are positive integers; times of day are ISO 8601 in UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from coreserver.config.base import FrozenSettings, Label, Note
from coreserver.reports.schema import Verdict
from coreserver.reports.schema_figures import Totals
from webapp.schemas.run_progress import Answer, RunProgress, RunStage

ServerState = Literal["starting", "listening", "draining", "stopped", "failed"]
RunState = Literal["queued", "running", "completed", "failed", "cancelled", "interrupted"]
VerdictStatus = Literal["valid", "suspect", "invalid"]
RunSort = Literal[
    "created_at",
    "-created_at",
    "label",
    "-label",
    "model",
    "-model",
    "verdict",
    "-verdict",
    "duration_s",
    "-duration_s",
    "throughput_messages_per_s",
    "-throughput_messages_per_s",
    "response_p50_ms",
    "-response_p50_ms",
    "response_p99_ms",
    "-response_p99_ms",
]

EXTERNAL = "external"  # the model of a server that the lab did not start
Id = Annotated[int, Field(ge=1, lt=2**53, description="a positive whole number")]

# --- asked -----------------------------------------------------------------------------------------------------------


class StopOptions(FrozenSettings):
    """How to stop a server."""

    drain_s: float = Field(
        default=0.0, ge=0, le=60, description="let what is in flight finish for so long before it is cut off, seconds"
    )


class NoOptions(FrozenSettings):
    """A body without fields; leaving it out means the same."""


class RunPatch(FrozenSettings):
    """What may be changed of a run afterwards; a field left out stays as it is."""

    label: Label | None = None
    note: Note | None = None


class RunFilter(FrozenSettings):
    """Which runs to list, and how."""

    model_config = ConfigDict(strict=False)  # a query string has text only

    state: RunState | None = Field(default=None, description="only runs in this state")
    label: Label | None = Field(default=None, description="only runs with this in their label, capitals or not")
    model: str | None = Field(default=None, max_length=80, description="a design's name, or `external`")
    verdict: VerdictStatus | None = Field(default=None, description="only runs with this verdict")
    server_id: Id | None = Field(default=None, description="only runs against this server of the lab")
    sort: RunSort = Field(
        default="-created_at",
        description="a minus: the other way round; runs without that figure stand at the end either way",
    )
    limit: int = Field(default=50, ge=1, le=500, description="runs of a page")
    cursor: str | None = Field(default=None, max_length=400, description="`next_cursor` of the page before")


# --- answered --------------------------------------------------------------------------------------------------------


class FieldProblem(Answer):
    """What is wrong with one field of the request."""

    field: str = Field(description="dotted path as it was written, such as `clients.0.script.1.send`")
    message: str


class ProblemDocument(Answer):
    """An error, after RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = Field(default=[])


class ModelResource(Answer):
    """A server design that can be started."""

    name: str
    summary: str = Field(description="one line")
    description: str
    options: dict[str, Any] = Field(description="JSON Schema of its config, with defaults")
    source_file: str = Field(description="file name within the package")
    source: str = Field(description="the text of that file")


class AddressResource(Answer):
    """Where a server listens."""

    host: str
    port: int


class Reason(Answer):
    """Why something is not as it was asked to be."""

    code: str
    detail: str


class ServerStats(Answer):
    """A server's figures at this instant, counted since its last start; null where its design has no such notion."""

    accepted: int = Field(description="connections taken from the kernel so far")
    waiting: int = Field(description="accepted connections that nobody serves yet")
    in_service: int = Field(description="connections being served")
    outcomes: dict[str, int] = Field(description="connections ended so far, by how they ended")
    events: dict[str, int] = Field(description="how often what else happened, such as a failed accept")
    threads_alive: int | None = Field(description="the design's own threads")
    threads_busy: int | None = Field(description="those of them that serve somebody")
    queue_depth: int | None = Field(description="connections in the design's own queue")
    accept_queue: int | None = Field(description="connections in the kernel's queue that nobody accepted yet")


class ServerResource(Answer):
    """A server of the lab; it stays listed when stopped."""

    id: int
    name: str
    state: ServerState
    reason: Reason | None = Field(description="why it is stopped or failed, where nobody asked for that")
    model: str
    pid: int | None = Field(description="the process that serves; null while nothing listens")
    address: AddressResource | None
    config: dict[str, Any]
    created_at: datetime
    stats: ServerStats | None
    run_ids: list[int] = Field(description="queued and running runs that use it")
    links: dict[str, str]


class ImportedFrom(Answer):
    """Where an imported run was made."""

    run_id: int = Field(description="its id there")
    version: str | None = Field(description="of that lab")
    has_records: bool = Field(description="whether the file had its connections; otherwise it has the report alone")


class RunResource(Answer):
    """A run: what was asked, how far it is, how it ended."""

    id: int
    state: RunState
    label: str
    note: str
    model: str = Field(description="the server's design; `external` for a server that is not ours")
    server_id: int | None = Field(description="null where the server lives for this run alone, or is not ours")
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    stage: RunStage | None = Field(default=None, description="null once it has ended")
    progress: RunProgress | None = Field(description="null before it starts and once it has ended")
    verdict: Verdict | None
    sentence: str | None = Field(description="what happened, in one sentence")
    totals: Totals | None = Field(description="the report's totals, once it has ended")
    response_p50_ms: float | None = Field(default=None, description="median response time; null: too few samples")
    response_p99_ms: float | None = Field(default=None, description="its 99th percentile; null: too few samples")
    reason: Reason | None = Field(description="why it failed, was cancelled or was interrupted")
    config: dict[str, Any] = Field(description="the body that repeats it, defaults filled in")
    imported: bool = Field(default=False, description="whether it was made elsewhere and came here as a file")
    imported_at: datetime | None = Field(default=None, description="when it came; `created_at` is when it was made")
    imported_from: ImportedFrom | None = Field(default=None, description="who made it, as the file says")
    links: dict[str, str]

    @property
    def is_over(self) -> bool:
        """Whether it has ended, however."""
        return self.state not in ("queued", "running")


class ModelList(Answer):
    """All models; there is one page of them."""

    models: list[ModelResource]
    next_cursor: None = None


class ServerList(Answer):
    """All servers; there is one page of them."""

    servers: list[ServerResource]
    next_cursor: None = None


class RunList(Answer):
    """One page of runs."""

    runs: list[RunResource]
    next_cursor: str | None = Field(default=None, description="hand it back as `cursor` for the next page; null: none")


class ConnectionRow(Answer):
    """One connection of a run; seconds from the run's start, null where that point was not reached."""

    name: str
    group: str
    due_s: float = Field(description="when the client was meant to connect")
    connect_start_s: float | None = Field(description="when it did")
    connected_s: float | None = Field(description="when the kernel had made the connection")
    greeted_s: float | None = Field(description="when it had read the server's `*`")
    closed_s: float | None = Field(description="when the client closed")
    accepted_s: float | None = Field(
        description="when the server took it; this and the next two are null where the server is not ours"
    )
    started_s: float | None = Field(description="when the server began to serve it")
    finished_s: float | None = Field(description="when the server was done with it")
    worker: str | None = Field(description="who served it")
    outcome: str | None = Field(description="how it ended for the client; null: its client process died")
    server_outcome: str | None = Field(description="how it ended for the server")
    detail: str = Field(description="what the outcome does not say, such as the error")
    bytes_sent: int = Field(description="by the client")
    bytes_received: int = Field(description="by the client")
    messages: int = Field(description="answered rightly")


class ConnectionList(Answer):
    """Every connection of a run, groups as given and clients as numbered."""

    connections: list[ConnectionRow]
    next_cursor: None = None


class Health(Answer):
    """The lab answers."""

    status: Literal["ok"] = "ok"


class Version(Answer):
    """What runs here."""

    name: Literal["serverlab"] = "serverlab"
    version: str
    python: str
