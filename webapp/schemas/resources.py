"""JSON shapes of the REST API: request options (strict, without unknown fields) and response bodies.

Every field name carries its unit; ids are positive integers; times of day are ISO 8601 in UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from coreserver.config.base import FrozenSettings, Label, Note
from coreserver.reports.schema.figures import Totals
from coreserver.reports.schema.verdict_shape import Verdict
from webapp.schemas.run_progress import ResponseBody, RunProgress, RunStage

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

EXTERNAL = "external"  # model of an external server
Id = Annotated[int, Field(ge=1, lt=2**53, description="a positive integer")]

# --- requests --------------------------------------------------------------------------------------------------------


class StopOptions(FrozenSettings):
    """Options for stopping a server."""

    drain_s: float = Field(
        default=0.0,
        ge=0,
        le=60,
        description="seconds for connections in flight to finish before they are cut off",
    )


class NoOptions(FrozenSettings):
    """A body without fields; it may be omitted."""


class RunPatch(FrozenSettings):
    """Editable fields of a run; an omitted field keeps its value."""

    label: Label | None = None
    note: Note | None = None


class RunFilter(FrozenSettings):
    """Filter, order and page of a list of runs."""

    model_config = ConfigDict(strict=False)  # a query string contains text only

    state: RunState | None = Field(default=None, description="only runs in this state")
    label: Label | None = Field(default=None, description="only runs whose label contains this text, ignoring case")
    model: str | None = Field(default=None, max_length=80, description="name of a design, or `external`")
    verdict: VerdictStatus | None = Field(default=None, description="only runs with this verdict")
    server_id: Id | None = Field(default=None, description="only runs against this server of the lab")
    sort: RunSort = Field(
        default="-created_at",
        description="a leading minus reverses the order; runs without that figure come last in both orders",
    )
    limit: int = Field(default=50, ge=1, le=500, description="maximum number of runs per page")
    cursor: str | None = Field(default=None, max_length=400, description="`next_cursor` of the previous page")


# --- responses -------------------------------------------------------------------------------------------------------


class FieldProblem(ResponseBody):
    """Error in one field of the request."""

    field: str = Field(description="dotted path in the request, such as `clients.0.script.1.send`")
    message: str


class ProblemDocument(ResponseBody):
    """Problem document of RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = Field(default=[])


class ModelResource(ResponseBody):
    """A server design."""

    name: str
    summary: str = Field(description="one line")
    description: str
    options: dict[str, Any] = Field(description="JSON Schema of its options, with defaults")
    source_file: str = Field(description="file name within the package")
    source: str = Field(description="content of that file")


class AddressResource(ResponseBody):
    """Address on which a server listens."""

    host: str
    port: int


class Reason(ResponseBody):
    """Reason for a state, as a code and in words."""

    code: str
    detail: str


class ServerStats(ResponseBody):
    """Current figures of a server since its last start; null if the figure does not apply to its design."""

    accepted: int = Field(description="connections accepted so far")
    waiting: int = Field(description="accepted connections that are not in service yet")
    in_service: int = Field(description="connections in service")
    outcomes: dict[str, int] = Field(description="connections ended so far, by outcome")
    events: dict[str, int] = Field(description="counts of other events, such as a failed accept")
    threads_alive: int | None = Field(description="threads of the design")
    threads_busy: int | None = Field(description="threads of the design that serve a connection")
    queue_depth: int | None = Field(description="connections in the queue of the design")
    accept_queue: int | None = Field(description="connections in the backlog, not accepted yet")


class ServerResource(ResponseBody):
    """A server of the lab. A stopped server stays in the list."""

    id: int
    name: str
    state: ServerState
    reason: Reason | None = Field(description="why it stopped or failed, if it was not stopped on request")
    model: str
    pid: int | None = Field(description="id of the process that serves; null while it is not listening")
    address: AddressResource | None
    config: dict[str, Any]
    created_at: datetime
    stats: ServerStats | None
    run_ids: list[int] = Field(description="queued and running runs that use it")
    links: dict[str, str]


class ImportedFrom(ResponseBody):
    """Origin of an imported run."""

    run_id: int = Field(description="id of the run in that lab")
    version: str | None = Field(description="version of that lab")
    has_records: bool = Field(description="whether the file contained the connections; otherwise only the report")


class RunResource(ResponseBody):
    """A run: its request, its progress and its end."""

    id: int
    state: RunState
    label: str
    note: str
    model: str = Field(description="design of the server; `external` for an external server")
    server_id: int | None = Field(description="null for an external server and for one that existed for this run only")
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    stage: RunStage | None = Field(default=None, description="null after the end")
    progress: RunProgress | None = Field(description="null before the start and after the end")
    verdict: Verdict | None
    sentence: str | None = Field(description="summary in one sentence")
    totals: Totals | None = Field(description="totals of the report, after the end")
    response_p50_ms: float | None = Field(default=None, description="median; null if too few samples")
    response_p99_ms: float | None = Field(default=None, description="99th percentile; null if too few samples")
    reason: Reason | None = Field(description="why it failed, was cancelled or was interrupted")
    config: dict[str, Any] = Field(description="request body that repeats the run, with all defaults")
    imported: bool = Field(default=False, description="whether it was imported from a file")
    imported_at: datetime | None = Field(
        default=None, description="when it was imported; `created_at` is that of the original run"
    )
    imported_from: ImportedFrom | None = Field(default=None, description="its origin, as stated in the file")
    links: dict[str, str]

    @property
    def is_over(self) -> bool:
        """Whether it has ended in any way."""
        return self.state not in ("queued", "running")


class ModelList(ResponseBody):
    """All models, on one page."""

    models: list[ModelResource]
    next_cursor: None = None


class ServerList(ResponseBody):
    """All servers, on one page."""

    servers: list[ServerResource]
    next_cursor: None = None


class RunList(ResponseBody):
    """One page of runs."""

    runs: list[RunResource]
    next_cursor: str | None = Field(default=None, description="`cursor` of the next page; null on the last page")


class ConnectionRow(ResponseBody):
    """One connection of a run. Times are seconds from the start of the run, null if that point was not reached."""

    name: str
    group: str
    due_s: float = Field(description="when the connection was due")
    connect_start_s: float | None = Field(description="when the client began to connect")
    connected_s: float | None = Field(description="when the connection was established")
    greeted_s: float | None = Field(description="when the client had received the greeting")
    closed_s: float | None = Field(description="when the client closed")
    accepted_s: float | None = Field(
        description="when the server accepted it; this field and the next two are null for an external server"
    )
    started_s: float | None = Field(description="when its service began")
    finished_s: float | None = Field(description="when its service ended")
    worker: str | None = Field(description="worker that served it")
    outcome: str | None = Field(description="outcome for the client; null if the client process died")
    server_outcome: str | None = Field(description="outcome for the server")
    detail: str = Field(description="further information, such as the error")
    bytes_sent: int = Field(description="by the client")
    bytes_received: int = Field(description="by the client")
    messages: int = Field(description="messages with a correct reply")


class ConnectionList(ResponseBody):
    """All connections of a run, ordered by group and client number."""

    connections: list[ConnectionRow]
    next_cursor: None = None


class Health(ResponseBody):
    """Health of the lab."""

    status: Literal["ok"] = "ok"


class Version(ResponseBody):
    """Versions of the lab and of Python."""

    name: Literal["serverlab"] = "serverlab"
    version: str
    python: str
