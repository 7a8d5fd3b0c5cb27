"""The shapes of a report's figures: counts, distributions, the series, the histograms, and what theory says.

Every shape is closed: a figure that is not described here is no part of a report. Null means "not measured" or "too few
samples to say", never zero.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, field_validator

from coreserver.reports.definitions import COLUMNS, HIGHEST_US, LOWEST_US, SIGNIFICANT_DIGITS

MAX_STEPS = 100_000  # of a series: at ten a second nearly three hours, where a run lasts minutes
MAX_INTERVALS = 20_000
MAX_HISTOGRAM_CHARACTERS = 300_000  # the largest that three digits up to an hour can need

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


def only(value: int) -> Any:
    """What makes a whole number this one and no other, for an `Annotated`."""

    def check(found: int) -> int:
        if found != value:
            raise ValueError(f"must be {value:,}")
        return found

    return AfterValidator(check)


def shown(value: int, description: str) -> Any:
    """The field of such a number, in a JSON Schema as well."""
    return Field(json_schema_extra={"const": value}, description=description)


class Shape(BaseModel):
    """Base of every part of a report: immutable, strict about types, closed to unknown fields."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Window(Shape):
    """The measured span: after the warm-up, before what was left is followed to its end. Seconds from the start."""

    from_s: Number = Field(description="its beginning; what was due before is warm-up")
    until_s: Number = Field(description="its end; what was due within and ended after it is no part of the throughput")


# --- counts ----------------------------------------------------------------------------------------------------------


class ConnectionCounts(Shape):
    """Connections of the clients: how far they got, and under which one outcome each of them ended."""

    due: Count = Field(description="all of them")
    connected: Count = Field(description="the kernel had made the connection")
    greeted: Count = Field(description="the client had read the server's `*`")
    completed: Count = Field(description="did all they were asked to, and every reply was right")
    refused: Count = Field(description="refused by the kernel, or closed by the server before any greeting")
    reset: Count = Field(description="reset by the server, or closed by it before the client was done")
    timed_out: Count = Field(description="no progress within the group's `timeout_s`")
    corrupted: Count = Field(description="got a byte that the protocol does not allow")
    not_started: Count = Field(description="never tried to connect")
    self_connect: Count = Field(description="the kernel connected the socket to itself")
    cancelled: Count = Field(description="at work when the run was cancelled")
    unfinished: Count = Field(description="without any outcome, because their client process died")


class MessageCounts(Shape):
    """Messages of the clients."""

    sent: Count = Field(description="all that were sent")
    verified: Count = Field(description="answered, every byte of the reply right")
    corrupted: Count = Field(description="answered wrongly")
    unanswered: Count = Field(description="the rest")


class WarmUpCounts(Shape):
    """How much of it all was warm-up, which is no part of latency, waits and throughput."""

    connections: Count = Field(description="due before their group's warm-up had ended")
    messages: Count = Field(description="due before their group's warm-up had ended")


class ByteCounts(Shape):
    """Payload bytes as the clients counted them."""

    sent: Count = Field(description="handed to the kernel by the clients")
    received: Count = Field(description="read by the clients")


class Totals(Shape):
    """How many of what, over what time; the warm-up included."""

    connections: ConnectionCounts
    messages: MessageCounts
    warm_up: WarmUpCounts
    bytes: ByteCounts
    duration_s: Positive | None = Field(description="first due to last closed; null when no connection was closed")
    throughput_messages_per_s: Positive | None = Field(description="right replies that came within the window")
    peak_in_service: Count | None = Field(description="most connections served at one instant, by the server's records")


# --- distributions ---------------------------------------------------------------------------------------------------


class Statistics(Shape):
    """A distribution in milliseconds. A percentile q is null below 10 / (1 - q) samples."""

    count: Count = Field(description="samples")
    mean: Number | None = Field(description="null without samples")
    min: Number | None = Field(description="null without samples")
    p50: Number | None = Field(description="median, from 20 samples on")
    p90: Number | None = Field(description="from 100 samples on")
    p99: Number | None = Field(description="from 1,000 samples on")
    p99_9: Number | None = Field(description="from 10,000 samples on")
    max: Number | None = Field(description="null without samples")

    def value(self, name: str) -> float | None:
        """Return one of the statistics by its name, such as `p99`."""
        found: float | None = getattr(self, name)
        return found


class Latency(Shape):
    """Of messages, after the warm-up."""

    response_ms: Statistics = Field(description="due to last reply byte: what the asker waited, all lag included")
    round_trip_ms: Statistics = Field(description="sent to last reply byte")
    lateness_ms: Statistics = Field(description="the load generator's own lag; never the server's")


class Waits(Shape):
    """Where connections spent their time, after the warm-up; each over the connections that got so far."""

    connect_ms: Statistics = Field(description="connect begun to connected: the handshake")
    backlog_ms: Statistics = Field(description="connected to accepted: the kernel's accept queue")
    queue_ms: Statistics = Field(description="accepted to service begun: the server's own queue")
    greeting_ms: Statistics = Field(description="service begun to greeting read")
    session_ms: Statistics = Field(description="greeting read to closed by the client")


class Theory(Shape):
    """What queueing theory says of a pool under Poisson arrivals, beside what was measured."""

    servers: Count = Field(description="workers of the pool")
    arrivals: Count = Field(description="that were compared, after the warm-up")
    arrival_rate_per_s: Positive | None = Field(description="arrivals per second")
    mean_service_ms: Positive | None = Field(description="mean time of a worker on a connection")
    utilisation: Positive | None = Field(
        description="arrival rate times mean service time by workers; 1: all always busy"
    )
    wait_ms: Number | None = Field(description="mean wait as it was measured, of all arrivals")
    wait_low_ms: Number | None = Field(description="lower end of its 95 % interval; null: too few for one")
    wait_high_ms: Number | None = Field(description="upper end of its 95 % interval; null: too few for one")
    recursion_wait_ms: Number | None = Field(description="by Kiefer and Wolfowitz's recursion on the run's times")
    erlang_c_wait_ms: Number | None = Field(description="by Erlang C; null where that does not apply")

    @classmethod
    def without_figures(cls, *, servers: int, arrivals: int) -> Theory:
        """Return the comparison of a run in which too few connections arrived for any figure."""
        missing = dict.fromkeys(cls.model_fields.keys() - {"servers", "arrivals"})
        return cls(servers=servers, arrivals=arrivals, **missing)


# --- over time -------------------------------------------------------------------------------------------------------


class Series(Shape):
    """The run in steps: what happened in each, and how things stood at its beginning."""

    interval_s: Annotated[float, Field(gt=0, le=3600)] = Field(description="length of a step, seconds")
    columns: list[str] = Field(
        json_schema_extra={"const": list(COLUMNS)},
        description="names of the numbers in each row. `t_s`: the step's beginning, seconds from the run's start. "
        "Events within the step: `due`, `started` (greeted), `completed`, `failed` connections; `messages_due`, "
        "`messages_sent`, `messages_answered`. At its beginning: `in_flight`, `in_service`, `waiting` connections and "
        "`messages_in_flight`. `response_…_ms`: of messages due within it. Samples of the server: `threads_alive`, "
        "`threads_busy`, `queue_depth` (its own queue), `accept_queue` (the kernel's), `cpu_percent` of one core, "
        "`rss_bytes`, and by how much the kernel's `listen_overflows` grew",
    )
    rows: list[list[Cell]] = Field(
        max_length=MAX_STEPS,
        json_schema_extra={"items": _ROW},
        description="a row a step, ascending; null where there was no sample, or too few to say",
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
    def _are_whole(cls, rows: list[list[Cell]]) -> list[list[Cell]]:
        if any(len(row) != len(COLUMNS) or row[0] is None for row in rows):
            raise ValueError(f"every row must have {len(COLUMNS)} numbers or nulls, the first a number")
        instants = [row[0] or 0.0 for row in rows]
        if any(before >= after for before, after in pairwise(instants)):
            raise ValueError("t_s must ascend")
        return rows


class IntervalHistograms(Shape):
    """The response times of each interval of the run, by when their messages were due."""

    interval_s: Annotated[float, Field(gt=0, le=3600)] = Field(description="length of an interval, seconds")
    response: list[Base64Text | None] = Field(
        max_length=MAX_INTERVALS, description="a histogram an interval; null where no message was due"
    )


class Histograms(Shape):
    """Whole distributions, after the warm-up, in the public encoding of HdrHistogram."""

    encoding: Literal["HdrHistogram V2, compressed, base64"] = Field(description="of every histogram here")
    unit: Literal["microseconds"] = Field(description="of the values in them")
    lowest: Annotated[int, only(LOWEST_US)] = shown(LOWEST_US, "the smallest value told from zero")
    highest: Annotated[int, only(HIGHEST_US)] = shown(HIGHEST_US, "the largest value; longer ones count so")
    significant_digits: Annotated[int, only(SIGNIFICANT_DIGITS)] = shown(
        SIGNIFICANT_DIGITS, "to which values are told apart"
    )
    response: Base64Text | None = Field(description="response times; null: no message was answered")
    round_trip: Base64Text | None = Field(description="round trips; null: no message was answered")
    intervals: IntervalHistograms
