"""The figures of a report as pydantic models: counts, distributions, theory, the series and the histograms.

Every model is closed: a report has no other fields. Null means "not measured" or "too few samples", never zero. The
vocabulary holds the descriptions of the fields; an added figure is optional, with the default None.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler, JsonValue, field_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from coreserver.reports import vocabulary
from coreserver.reports.schema.definitions import COLUMNS, HIGHEST_US, LOWEST_US, SIGNIFICANT_DIGITS

MAX_STEPS = 100_000  # of a series: at ten per second nearly three hours; runs last minutes
MAX_INTERVALS = 20_000
MAX_HISTOGRAM_CHARACTERS = 300_000  # of the largest histogram with three digits up to an hour

_ROW: dict[str, JsonValue] = {
    "type": "array",
    "items": {"type": ["number", "null"]},
    "minItems": len(COLUMNS),
    "maxItems": len(COLUMNS),
}

Count = Annotated[int, Field(ge=0, lt=2**53)]
Number = Annotated[float, Field(ge=-1e15, le=1e15)]
Cell = Annotated[int, Field(ge=-(10**15), le=10**15)] | Number | None  # of the series; a count stays a whole number
Positive = Annotated[float, Field(ge=0, le=1e15)]
Base64Text = Annotated[str, Field(max_length=MAX_HISTOGRAM_CHARACTERS, pattern=r"^[A-Za-z0-9+/]*={0,2}$")]


def equals(value: int) -> Any:
    """Return a validator, for `Annotated`, of an integer with exactly this value."""

    def check(found: int) -> int:
        if found != value:
            raise ValueError(f"must be {value:,}")
        return found

    return AfterValidator(check)


def constant(value: int, description: str) -> Any:
    """Return the field of an integer that has exactly this value; the JSON Schema names it as `const`."""
    return Field(json_schema_extra={"const": value}, description=description)


class Shape(BaseModel):
    """Base of every part of a report: immutable, strict about types, closed to unknown fields.

    `figures` is the path of the part in the report. In the JSON Schema, a field without a description gets the
    explanation of the vocabulary.
    """

    # Building all shapes takes 0.04 s; deferred, it happens at the first validation and not at `import webapp.client`.
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    figures: ClassVar[str] = ""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the descriptions of the vocabulary."""
        schema = handler(core_schema)
        for name, field in handler.resolve_ref_schema(schema).get("properties", {}).items():
            if "description" not in field and (found := vocabulary.explain(f"{cls.figures}.{name}")):
                field["description"] = found
        return schema


class Window(Shape):
    """Measured span in seconds of the run: after the warm-up, and before clients only finish what they have begun."""

    figures = "window"

    from_s: Number
    until_s: Number


# --- counts ----------------------------------------------------------------------------------------------------------


class ConnectionCounts(Shape):
    """Connections of the clients by the stages that they reached, and by outcome; each has one outcome."""

    figures = "totals.connections"

    due: Count
    connected: Count
    greeted: Count
    completed: Count
    refused: Count
    reset: Count
    timed_out: Count
    corrupted: Count
    not_started: Count
    self_connect: Count
    cancelled: Count
    unfinished: Count


class MessageCounts(Shape):
    """Messages of the clients."""

    figures = "totals.messages"

    sent: Count
    verified: Count
    corrupted: Count
    unanswered: Count


class WarmUpCounts(Shape):
    """Counts of the warm-up, which latency, waits and throughput exclude."""

    figures = "totals.warm_up"

    connections: Count
    messages: Count


class ByteCounts(Shape):
    """Payload bytes as the clients counted them."""

    figures = "totals.bytes"

    sent: Count
    received: Count


class Totals(Shape):
    """Counts, duration and throughput; the counts include the warm-up."""

    figures = "totals"

    connections: ConnectionCounts
    messages: MessageCounts
    warm_up: WarmUpCounts
    bytes: ByteCounts
    duration_s: Positive | None
    throughput_messages_per_s: Positive | None
    peak_in_service: Count | None


# --- distributions ---------------------------------------------------------------------------------------------------


class Statistics(Shape):
    """Distribution of durations in milliseconds. A percentile q is null below 10 / (1 - q) samples."""

    figures = "statistics"

    count: Count
    mean: Number | None
    min: Number | None
    p50: Number | None
    p90: Number | None
    p99: Number | None
    p99_9: Number | None
    max: Number | None

    def value(self, name: str) -> float | None:
        """Return one of the statistics by its name, such as `p99`."""
        found: float | None = getattr(self, name)
        return found


class Latency(Shape):
    """Times of messages, without the warm-up."""

    figures = "latency"

    response_ms: Statistics
    round_trip_ms: Statistics
    lateness_ms: Statistics


class Waits(Shape):
    """Parts of the time of connections, without the warm-up; each over the connections that reached it."""

    figures = "waits"

    connect_ms: Statistics
    backlog_ms: Statistics
    queue_ms: Statistics
    greeting_ms: Statistics
    session_ms: Statistics


class Theory(Shape):
    """Predictions of queueing theory for a pool under Poisson arrivals, with the measured values."""

    figures = "theory"

    servers: Count
    arrivals: Count
    arrival_rate_per_s: Positive | None
    mean_service_ms: Positive | None
    utilisation: Positive | None
    wait_ms: Number | None
    wait_low_ms: Number | None
    wait_high_ms: Number | None
    recursion_wait_ms: Number | None
    erlang_c_wait_ms: Number | None

    @classmethod
    def without_figures(cls, *, servers: int, arrivals: int) -> Theory:
        """Return the comparison of a run with too few arrivals for any figure."""
        missing = dict.fromkeys(cls.model_fields.keys() - {"servers", "arrivals"})
        return cls(servers=servers, arrivals=arrivals, **missing)


# --- over time -------------------------------------------------------------------------------------------------------


class Series(Shape):
    """The run in steps: events within each step, and counts and samples at its start."""

    interval_s: Annotated[float, Field(gt=0, le=3600)] = Field(description="length of a step, seconds")
    columns: list[str] = Field(
        json_schema_extra={"const": list(COLUMNS)},
        description="names of the numbers in each row. "
        + "; ".join(f"`{name}`: {vocabulary.explain(f'series.{name}')}" for name in COLUMNS),
    )
    rows: list[list[Cell]] = Field(
        max_length=MAX_STEPS,
        json_schema_extra={"items": _ROW},
        description="one row per step, ascending; null if there was no sample, or too few",
    )

    def column(self, name: str) -> list[int | float | None]:
        """Return the values of one column."""
        at = self.columns.index(name)
        return [row[at] for row in self.rows]

    @field_validator("columns")
    @classmethod
    def _are_known(cls, columns: list[str]) -> list[str]:
        if columns != list(COLUMNS):
            raise ValueError(f"must be {', '.join(COLUMNS)}")
        return columns

    @field_validator("rows")
    @classmethod
    def _are_complete(cls, rows: list[list[Cell]]) -> list[list[Cell]]:
        if any(len(row) != len(COLUMNS) or row[0] is None for row in rows):
            raise ValueError(f"every row must have {len(COLUMNS)} numbers or nulls, the first a number")
        instants = [row[0] or 0.0 for row in rows]
        if any(before >= after for before, after in pairwise(instants)):
            raise ValueError("t_s must ascend")
        return rows


class IntervalHistograms(Shape):
    """Response times by the interval in which their messages were due."""

    interval_s: Annotated[float, Field(gt=0, le=3600)] = Field(description="length of an interval, seconds")
    response: list[Base64Text | None] = Field(
        max_length=MAX_INTERVALS, description="one histogram per interval; null if no message was due"
    )


class Histograms(Shape):
    """Complete distributions, without the warm-up, in the public encoding of HdrHistogram."""

    encoding: Literal["HdrHistogram V2, compressed, base64"] = Field(description="encoding of all histograms")
    unit: Literal["microseconds"] = Field(description="unit of their values")
    lowest: Annotated[int, equals(LOWEST_US)] = constant(LOWEST_US, "smallest value distinguished from zero")
    highest: Annotated[int, equals(HIGHEST_US)] = constant(HIGHEST_US, "largest value; longer times count as it")
    significant_digits: Annotated[int, equals(SIGNIFICANT_DIGITS)] = constant(
        SIGNIFICANT_DIGITS, "precision of the values"
    )
    response: Base64Text | None = Field(description="response times; null: no message was answered")
    round_trip: Base64Text | None = Field(description="round trips; null: no message was answered")
    intervals: IntervalHistograms
