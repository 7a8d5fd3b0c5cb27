"""The lab's one clock: monotonic nanoseconds, the same in every process of one host (CLOCK_MONOTONIC)."""

from __future__ import annotations

import time

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000

now_ns = time.monotonic_ns


def seconds(ns: int) -> float:
    """A span of nanoseconds in seconds."""
    return ns / NS_PER_S


def milliseconds(ns: int) -> float:
    """A span of nanoseconds in milliseconds."""
    return ns / NS_PER_MS
