"""Format numbers, times and states for display: every figure with its unit, every state with a word and a shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from coreserver.reports.schema.figures import Shape
from coreserver.reports.vocabulary import Unit, find_figure

NARROW = "\N{NARROW NO-BREAK SPACE}"
NONE = "\N{EM DASH}"  # the figure does not exist


@dataclass(frozen=True)
class StatusBadge:
    """A state as a word, a shape and a tone (good or bad).

    A badge that `warns` is emphasised everywhere, because the figures next to it cannot be trusted.
    """

    word: str
    shape: str
    tone: str
    warns: bool = False


MARKS = {
    # servers
    "starting": StatusBadge("starting", "ring", "busy"),
    "listening": StatusBadge("listening", "disc", "good"),
    "draining": StatusBadge("draining", "half", "busy"),
    "stopped": StatusBadge("stopped", "box", "idle"),
    # runs
    "queued": StatusBadge("queued", "ring", "idle"),
    "running": StatusBadge("running", "disc", "busy"),
    "completed": StatusBadge("completed", "square", "good"),
    "cancelled": StatusBadge("cancelled", "bar", "warn"),
    "interrupted": StatusBadge("interrupted", "broken", "warn"),
    "failed": StatusBadge("failed", "triangle", "bad"),
    # verdicts
    "valid": StatusBadge("valid", "tick", "good"),
    "suspect": StatusBadge("suspect", "diamond", "warn", warns=True),
    "invalid": StatusBadge("invalid", "cross", "bad", warns=True),
}
SEVERITY_TONES = {"invalid": "bad", "suspect": "warn", "note": "idle"}


@dataclass(frozen=True)
class Figure:
    """One labelled figure; `key` identifies it in a live page."""

    label: str
    value: str
    key: str = ""


def mark(state: str) -> StatusBadge:
    """Return the badge of a state; an unknown state has its word only."""
    return MARKS.get(state, StatusBadge(state, "ring", "idle"))


def count(value: float | None) -> str:
    """Return a whole number in groups of three digits."""
    return NONE if value is None else f"{value:,.0f}".replace(",", NARROW)


def decimal(value: float) -> str:
    """Return a number with three significant digits, without an exponent; whole numbers without decimals."""
    if value == int(value) or abs(value) >= 1000:
        return count(value)
    places = 2 - math.floor(math.log10(abs(value)))
    return f"{value:.{min(max(places, 0), 6)}f}"


def ms(value: float | None) -> str:
    """Return milliseconds as text: in seconds from 10,000 ms on, in microseconds below 0.1 ms."""
    if value is None:
        return NONE
    if 0 < abs(value) < 0.1:
        return f"{decimal(value * 1000)}{NARROW}µs"
    return seconds(value / 1000) if abs(value) >= 10_000 else f"{decimal(value)}{NARROW}ms"


def seconds(value: float | None) -> str:
    """Return seconds as text: in milliseconds below 0.1 s."""
    if value is None:
        return NONE
    return ms(value * 1000) if 0 < abs(value) < 0.1 else f"{decimal(value)}{NARROW}s"


def age(value: float | None) -> str:
    """Return elapsed seconds with a tenth of a second; 0 for a negative value."""
    return NONE if value is None else f"{max(value, 0.0):.1f}{NARROW}s"


def rate(value: float | None) -> str:
    """Return a rate per second without its unit, for a column whose heading has the unit."""
    return NONE if value is None else decimal(value)


def size(value: float | None) -> str:
    """Return a number of bytes in binary units."""
    if value is None:
        return NONE
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{count(value) if unit == 'B' else decimal(value)}{NARROW}{unit}"


def moment(at: datetime | None) -> str:
    """Return a date and time in the time zone of the machine."""
    return NONE if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def iso(at: datetime | None) -> str:
    """Return an instant in ISO format, for the `datetime` attribute."""
    return "" if at is None else at.astimezone(UTC).isoformat()


# Formatters by unit.
UNITS: dict[Unit, Callable[[float], str]] = {
    "s": seconds,
    "ms": ms,
    "us": lambda value: ms(value / 1000),
    "bytes": size,
    "per_s": lambda value: f"{decimal(value)}/s",
    "percent": lambda value: f"{decimal(value)}{NARROW}%",
    "number": decimal,
}

# The unit at the end of a field's name selects the formatter.
READINGS = (("_per_s", "per second"), ("_ms", ms), ("_bytes", size), ("_us", "µs"), ("_s", seconds))

# Labels of fields whose names are not readable as words, and words in capitals.
LABELS = {"model": "design", "read_bytes": "read at most", "nodelay": "no delay", "load_average_1min": "load average"}
WORDS = {"cpu": "CPU", "cpus": "CPUs", "gil": "GIL", "python": "Python"}


def reading(name: str, value: Any, missing: str) -> str:
    """Return a value of a report or a config as text, by the unit in its name; None becomes `missing`."""
    if value is None:
        return missing
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        for suffix, way in READINGS:
            if name.endswith(suffix):
                return way(value) if callable(way) else f"{decimal(value)} {way}"
        return count(value) if isinstance(value, int) else decimal(value)
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or missing
    return str(value)


def label(name: str) -> str:
    """Return the name of a field as words, without its unit."""
    if name in LABELS:
        return LABELS[name]
    for suffix, _ in READINGS:
        if name.endswith(suffix) and name != suffix.lstrip("_"):
            name = name.removesuffix(suffix)
            break
    return " ".join(WORDS.get(word, word) for word in name.split("_"))


def quantity(value: float | None, unit: Unit) -> str:
    """Return a value with its unit."""
    return NONE if value is None else UNITS[unit](value)


def rows_of(part: Shape, *, missing: str = "none", exclude: Collection[str] = ()) -> tuple[Figure, ...]:
    """Return one row per field of a part of a report, figures with their labels; null becomes `missing`."""
    rows: list[Figure] = []
    for name in type(part).model_fields:
        if name in exclude:
            continue
        value, entry = getattr(part, name), find_figure(f"{part.figures}.{name}")
        if entry is not None:
            rows.append(Figure(entry.label, missing if value is None else UNITS[entry.unit](value)))
        else:
            rows += pairs({name: value.model_dump() if isinstance(value, Shape) else value}, missing=missing)
    return tuple(rows)


def pairs(facts: Mapping[str, Any], *, missing: str = "none") -> tuple[Figure, ...]:
    """Return the values of a nested mapping, one row each; null becomes `missing`."""
    found: list[Figure] = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            inner = pairs(value, missing=missing)
            found += [Figure(f"{label(name)} {figure.label}", figure.value) for figure in inner]
        else:
            found.append(Figure(label(name), reading(name, value, missing)))
    return tuple(found)
