"""The report of a run as pydantic models: the result of `build_report`, of the REST API and of an import.

`json_schema` publishes the same models for other programs. They are strict and closed, except the settings, which each
server design and each kind of client group defines for itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic.json_schema import GenerateJsonSchema

from coreserver.config.base import Label, Note, Seed
from coreserver.records.record_format import FORMAT
from coreserver.reports.schema.definitions import SCHEMA_VERSION
from coreserver.reports.schema.figures import (
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
    constant,
    equals,
)
from coreserver.reports.schema.verdict_shape import Text, Verdict, Word

SCHEMA_ID = f"urn:serverlab:report:{SCHEMA_VERSION}"
MAX_GROUPS = 64
MAX_WORKERS = 10_000  # the largest pool

Document = dict[str, Any]


def _check_moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a valid date and time") from None
    return text


# A single format, so that sorting the texts sorts the times.
Moment = Annotated[
    str,
    StringConstraints(pattern=r"^(19|20)\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$"),
    AfterValidator(_check_moment),
    Field(json_schema_extra={"format": "date-time"}),
]


class RunConfig(Shape):
    """Settings of the run with their defaults: the body of `POST /api/v1/runs` that repeats it."""

    label: Label = Field(description="label when the run was created; `run.label` has later changes")
    note: Note = Field(description="note when the run was created; `run.note` has later changes")
    seed: Seed = Field(description="seed of arrival times, messages and their mix")
    server: Document = Field(description="a server by `id` or by `address`, or the config of one for this run alone")
    clients: list[Document] = Field(max_length=MAX_GROUPS, description="the client groups, each with its `kind`")
    client_processes: Count | None = Field(description="number of client processes; null: chosen by the lab")
    client_cpus: list[Count] | None = Field(
        max_length=1024, description="CPUs that client processes may use; null: all"
    )


class Run(Shape):
    """Name, settings, times and end of the run."""

    id: Annotated[int, Field(ge=1, lt=2**53)] = Field(description="its id in the lab that made it")
    label: Label = Field(description="a short name")
    note: Note = Field(description="free text")
    seed: Seed = Field(description="seed of arrival times, messages and their mix")
    config: RunConfig
    created_at: Moment = Field(description="when it was created")
    started_at: Moment | None = Field(description="when it started")
    ended_at: Moment | None = Field(description="when it ended")
    state: Literal["completed", "cancelled", "failed"] = Field(description="how it ended")
    failure: Word | None = Field(description="code of the reason why it failed or was cancelled")
    failure_detail: Text | None = Field(description="the reason as text")
    sentence: Text = Field(description="summary in one sentence")
    schedule_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        description="equal for runs of the same settings and seed; null if no client was created"
    )


class Group(Shape):
    """One client group, with the same figures as the whole run."""

    name: Word = Field(description="unique within the run")
    kind: Word | None = Field(description="such as `script`, `closed`, `open`, `idle`")
    window: Window | None = Field(description="null if none of its clients was created")
    totals: Totals
    latency: Latency
    waits: Waits


class Server(Shape):
    """The server, with peaks and differences of its samples over the run; null: not measured."""

    figures = "server"

    model: Annotated[str, StringConstraints(min_length=1, max_length=80)] = Field(
        description="its design; `external` for a server that the lab did not start"
    )
    config: Document = Field(description="its settings, defined by the design")
    id: Annotated[int, Field(ge=1, lt=2**53)] | None = Field(description="null: it existed for this run alone")
    name: Word | None = Field(description="its name or address")
    scope: Word = Field(description="owner of the CPU time, memory and switches, such as `process`")
    details: dict[str, Text] = Field(
        max_length=100, description="facts that are known after its start, such as its event loop"
    )
    placement: Word | None = Field(
        description="`thread` (in the control plane), `process` (its own) or `not ours` (external)"
    )
    discipline: Literal["first_come_first_served", "last_come_first_served"] | None = Field(
        default=None, description="order in which waiting connections were served; null: they have no common queue"
    )
    worker_names: list[Word] | None = Field(
        default=None,
        max_length=MAX_WORKERS,
        description="names of the serving threads that exist from the start; empty: threads come and go with "
        "connections; null: unknown",
    )
    backlog_effective: Count | None
    peak_threads: Count | None
    peak_queue: Count | None
    peak_accept_queue: Count | None
    cpu_s: Number | None
    peak_rss_bytes: Count | None
    peak_vms_bytes: Count | None
    voluntary_switches: Count | None
    involuntary_switches: Count | None
    listen_overflows: Count | None
    listen_overflows_scope: Word = Field(description="scope of the count of listen overflows")


class Limit(Shape):
    """A resource limit of the lab's process; null: unlimited."""

    soft: int | None = Field(description="in force")
    hard: int | None = Field(description="upper bound of the soft limit")


class Limits(Shape):
    """Resource limits of the lab's process."""

    open_files: Limit
    processes_and_threads: Limit


class Environment(Shape):
    """Machine and software of the run; null if not known."""

    figures = "environment"

    cpu: Word | None = Field(description="model of the CPU")
    cores: Count | None
    cores_usable: Count
    memory_bytes: Count
    load_average_1min: Positive
    system: Word = Field(description="operating system")
    kernel: Word = Field(description="release of the kernel")
    python: Word = Field(description="version of Python")
    python_implementation: Word = Field(description="such as CPython")
    python_build: Word = Field(description="number and date of the build")
    python_compiler: Word = Field(description="compiler of the interpreter")
    gil: bool = Field(description="whether the interpreter has a global lock")
    switch_interval_s: Positive
    limits: Limits
    somaxconn: Count | None
    tcp_max_syn_backlog: Count | None
    port_range: list[Count] | None = Field(max_length=2, description="net.ipv4.ip_local_port_range: first and last")
    versions: dict[str, Word | None] = Field(max_length=100, description="of packages; null: not installed")


class Report(Shape):
    """Report of a run. Times are seconds from the run's start unless a name says otherwise.

    A pure function of the records: `build_report` computes it, and the JSON form is `model_dump(mode="json")`. In a
    report that was upgraded from an earlier version, parts that its program did not record are null.
    """

    schema_version: Annotated[int, equals(SCHEMA_VERSION)] = constant(SCHEMA_VERSION, "version of this schema")
    run: Run
    verdict: Verdict
    window: Window | None = Field(description="shortest span that contains the windows of all groups")
    totals: Totals
    latency: Latency
    waits: Waits
    groups: list[Group] = Field(max_length=MAX_GROUPS, description="in the order of the settings")
    theory: Theory | None = Field(description="null unless theory covers the run and all its records exist")
    series: Series
    histograms: Histograms
    server: Server
    environment: Environment


class Bundle(Shape):
    """All records of a run, from which an import rebuilds its tables, logs and drawings."""

    format: Annotated[int, Field(ge=1, le=FORMAT)] = Field(
        description="format of `connections`, described in coreserver/records/codec.py"
    )
    encoding: Literal["base64"] = Field(description="encoding of `connections`")
    started_ns: Annotated[int, Field(ge=0, lt=2**62)] = Field(
        description="the run's start on the monotonic clock of the machine that made it, nanoseconds"
    )
    started_wall_s: Annotated[float, Field(ge=0, le=253_402_300_000)] = Field(
        description="wall clock at that instant, Unix time in seconds"
    )
    connections: str = Field(
        json_schema_extra={"contentEncoding": "base64"}, description="all connections with their messages, compressed"
    )


class ReportFile(Report):
    """Downloaded report (`report.json`). With a bundle, an import restores the whole run."""

    bundle: Bundle = Field(default=None, description="records of the run; a report without records does not have it")  # type: ignore[assignment]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a report, with or without its bundle."""
    schema = ReportFile.model_json_schema()
    schema["properties"]["bundle"].pop("default")
    head = {"$schema": GenerateJsonSchema.schema_dialect, "$id": SCHEMA_ID}
    return head | {**schema, "title": f"Serverlab report, version {SCHEMA_VERSION}"}
