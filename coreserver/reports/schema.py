"""The shape of a run's report: what `build_report` makes, what the REST API answers, and what an import must be.

These classes are the one description of it; `json_schema` publishes them for other programs. They are strict and closed
but for settings, which each design defines for itself and a later version may define otherwise.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic.json_schema import GenerateJsonSchema

from coreserver.config.base import Label, Note, Seed
from coreserver.records.record_format import FORMAT
from coreserver.reports.definitions import SCHEMA_VERSION
from coreserver.reports.schema_figures import (
    Count,
    Histograms,
    Latency,
    Number,
    Positive,
    Series,
    Shape,
    Theory,
    Totals,
    Waits,
    Window,
    only,
    shown,
)

SCHEMA_ID = f"urn:serverlab:report:{SCHEMA_VERSION}"
MAX_REASONS = 200
MAX_GROUPS = 64
MAX_WORKERS = 10_000  # the largest pool
MAX_TEXT = 4000  # characters

Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
Word = Annotated[str, StringConstraints(max_length=400)]
Document = dict[str, Any]
Severity = Literal["invalid", "suspect", "note"]  # a note alone leaves a run valid


def _is_a_moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("there is no such moment") from None
    return text


# In one form, so that lists can sort by the text.
Moment = Annotated[
    str,
    StringConstraints(pattern=r"^(19|20)\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$"),
    AfterValidator(_is_a_moment),
    Field(json_schema_extra={"format": "date-time"}),
]


class RunConfig(Shape):
    """What was asked for, defaults filled in: the body of `POST /api/v1/runs` that repeats the run."""

    label: Label = Field(description="as it was when the run was asked for")
    note: Note = Field(description="as it was when the run was asked for")
    seed: Seed = Field(description="of arrival times, messages and their mix")
    server: Document = Field(description="a server by `id`, by `address`, or the config of one for this run alone")
    clients: list[Document] = Field(max_length=MAX_GROUPS, description="the client groups, each with its `kind`")
    client_processes: Count | None = Field(description="that share the load; null: chosen by the lab")
    client_cpus: list[Count] | None = Field(max_length=1024, description="they may run on; null: all")


class Run(Shape):
    """What the run was: who asked for what, when, and how it ended."""

    id: Annotated[int, Field(ge=1, lt=2**53)] = Field(description="its number in the lab that made it")
    label: Label = Field(description="a short name")
    note: Note = Field(description="anything worth remembering")
    seed: Seed = Field(description="of arrival times, messages and their mix")
    config: RunConfig
    created_at: Moment = Field(description="when it was asked for")
    started_at: Moment | None = Field(description="when its turn came")
    ended_at: Moment | None = Field(description="when it was over")
    state: Literal["completed", "cancelled", "failed"] = Field(description="how it ended")
    failure: Word | None = Field(description="code of why it failed or was cancelled")
    failure_detail: Text | None = Field(description="the same in words")
    sentence: Text = Field(description="what happened, in one sentence")
    schedule_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        description="equal for runs of the same settings and seed; null where no client came into being"
    )


class VerdictReason(Shape):
    """Something to know before believing the figures."""

    code: Word = Field(description="for programs, such as `clients_late`")
    severity: Severity = Field(description="a note alone leaves a run valid")
    detail: Text = Field(description="for people, one sentence")


class Verdict(Shape):
    """Whether the figures can be believed."""

    status: Literal["valid", "suspect", "invalid"] = Field(description="the worst of the reasons")
    reasons: list[VerdictReason] = Field(max_length=MAX_REASONS, description="the worst ones first")


class Group(Shape):
    """One client group: the same figures as the whole run's."""

    name: Word = Field(description="unique within the run")
    kind: Word | None = Field(description="such as `script`, `closed`, `open`, `idle`")
    window: Window | None = Field(description="null where none of its clients came into being")
    totals: Totals
    latency: Latency
    waits: Waits


class Server(Shape):
    """The server, and how it stood over the run: peaks and differences of its samples; null: not measured."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=80)] = Field(
        description="its design; `external` for a server that is not the lab's"
    )
    config: Document = Field(description="its settings, as the design defines them")
    id: Annotated[int, Field(ge=1, lt=2**53)] | None = Field(description="null: it lived for this run alone")
    name: Word | None = Field(description="what it was called")
    scope: Word = Field(description="whose CPU time, memory and switches these are, such as `process`")
    details: dict[str, Text] = Field(max_length=100, description="what it settled when it started, as its event loop")
    placement: Word | None = Field(description="`thread` of the control plane, a `process` of its own, or `not ours`")
    discipline: Literal["first_come_first_served", "last_come_first_served"] | None = Field(
        default=None, description="order in which waiting connections were served; null: they have no common queue"
    )
    worker_names: list[Word] | None = Field(
        default=None,
        max_length=MAX_WORKERS,
        description="threads that serve and are known before the start; empty: threads come and go with connections; "
        "null: unknown",
    )
    backlog_effective: Count | None = Field(description="the backlog, bounded by somaxconn")
    peak_threads: Count | None = Field(description="most threads of the design's own")
    peak_queue: Count | None = Field(description="most connections in its own queue")
    peak_accept_queue: Count | None = Field(description="most connections in the kernel's accept queue")
    cpu_s: Number | None = Field(description="CPU seconds used during the run")
    peak_rss_bytes: Count | None = Field(description="most resident memory")
    peak_vms_bytes: Count | None = Field(description="most virtual memory")
    voluntary_switches: Count | None = Field(description="context switches, waiting for something")
    involuntary_switches: Count | None = Field(description="context switches, pushed aside")
    listen_overflows: Count | None = Field(description="connects that the kernel turned away at full accept queues")
    listen_overflows_scope: Word = Field(description="whose accept queues that figure counts")


class Limit(Shape):
    """A resource limit of the lab's process; null: none."""

    soft: int | None = Field(description="in force")
    hard: int | None = Field(description="to which it may be raised")


class Limits(Shape):
    """Resource limits of the lab's process."""

    open_files: Limit
    processes_and_threads: Limit


class Environment(Shape):
    """The machine and the software the run was made with; null where the machine does not say."""

    cpu: Word | None = Field(description="its model")
    cores: Count | None = Field(description="of the machine")
    cores_usable: Count = Field(description="by the lab")
    memory_bytes: Count = Field(description="of the machine")
    load_average_1min: Positive = Field(description="at the end of the run")
    system: Word = Field(description="operating system")
    kernel: Word = Field(description="its release")
    python: Word = Field(description="version")
    python_implementation: Word = Field(description="such as CPython")
    python_build: Word = Field(description="number and date")
    python_compiler: Word = Field(description="that built it")
    gil: bool = Field(description="whether threads of one interpreter exclude one another")
    switch_interval_s: Positive = Field(description="of the lab's interpreter, seconds")
    limits: Limits
    somaxconn: Count | None = Field(description="net.core.somaxconn: bounds every backlog")
    tcp_max_syn_backlog: Count | None = Field(description="net.ipv4.tcp_max_syn_backlog")
    port_range: list[Count] | None = Field(max_length=2, description="net.ipv4.ip_local_port_range: first and last")
    versions: dict[str, Word | None] = Field(max_length=100, description="of packages; null: not installed")


class Report(Shape):
    """All that a run has shown. Times are seconds from the run's start unless a name says otherwise."""

    schema_version: Annotated[int, only(SCHEMA_VERSION)] = shown(
        SCHEMA_VERSION, "of this shape; a change that old readers misread raises it"
    )
    run: Run
    verdict: Verdict
    window: Window | None = Field(description="the shortest span that holds all groups' windows")
    totals: Totals
    latency: Latency
    waits: Waits
    groups: list[Group] = Field(max_length=MAX_GROUPS, description="in the order they were asked for")
    theory: Theory | None = Field(description="null unless it was such a queue, with all of its records")
    series: Series
    histograms: Histograms
    server: Server
    environment: Environment


class Bundle(Shape):
    """What brings a run back whole: every record of it, from which tables, logs and pictures are made again."""

    format: Annotated[int, Field(ge=1, le=FORMAT)] = Field(
        description="of `connections`: described in coreserver/records/codec.py"
    )
    encoding: Literal["base64"] = Field(description="of the bytes in `connections`")
    started_ns: Annotated[int, Field(ge=0, lt=2**62)] = Field(
        description="the run's start on the monotonic clock of the machine that made it, nanoseconds"
    )
    started_wall_s: Annotated[float, Field(ge=0, le=253_402_300_000)] = Field(
        description="the wall clock at that instant, seconds of Unix time"
    )
    connections: str = Field(
        json_schema_extra={"contentEncoding": "base64"}, description="all connections with their messages, deflated"
    )


class ReportFile(Report):
    """A report as it is taken away: `report.json`. With the bundle in it, it can be imported whole."""

    bundle: Bundle = Field(default=None, description="left out: the report alone")  # type: ignore[assignment]


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a report, with or without its bundle."""
    schema = ReportFile.model_json_schema()
    schema["properties"]["bundle"].pop("default")
    head = {"$schema": GenerateJsonSchema.schema_dialect, "$id": SCHEMA_ID}
    return head | {**schema, "title": f"Serverlab report, version {SCHEMA_VERSION}"}
