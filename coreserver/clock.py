"""The clock of the lab: monotonic nanoseconds, the same in every process of a host (CLOCK_MONOTONIC)."""

from __future__ import annotations

import time

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000

now_ns = time.monotonic_ns


def seconds(ns: int) -> float:
    """Convert a duration in nanoseconds to seconds."""
    return ns / NS_PER_S


def milliseconds(ns: int) -> float:
    """Convert a duration in nanoseconds to milliseconds."""
    return ns / NS_PER_MS
