"""Constants that define the figures of a report. Imports nothing, so that `webapp.client` stays fast to import."""

from __future__ import annotations

SCHEMA_VERSION = 2  # raised with every change of shape; see coreserver/reports/schema/upgrades.py

# Percentiles by name, in thousandths. A percentile q needs 10 / (1 - q) samples, so that ten of them lie above it.
PERCENTILES = {"p50": 500, "p90": 900, "p99": 990, "p99_9": 999}

# The range and the precision of HDR histograms.
LOWEST_US = 1
HIGHEST_US = 3_600_000_000
SIGNIFICANT_DIGITS = 3

# The columns of the series.
INTERVAL_S = 0.1
COUNTED = ("due", "started", "completed", "failed")  # connections: events within [t_s, t_s + interval_s)
STANDING = ("in_flight", "in_service", "waiting")  # connections at the instant t_s, from the records
MESSAGES = ("messages_due", "messages_sent", "messages_answered")  # events within [t_s, t_s + interval_s)
LATENCY = ("response_p50_ms", "response_p99_ms", "response_max_ms")  # of messages due within the step
SAMPLED = (
    "threads_alive",
    "threads_busy",
    "queue_depth",
    "accept_queue",
    "cpu_percent",
    "rss_bytes",
    "listen_overflows",
)
COLUMNS = ("t_s", *COUNTED, *STANDING, *MESSAGES, "messages_in_flight", *LATENCY, *SAMPLED)


def samples_needed(per_mille: int) -> int:
    """Return the smallest number of samples from which this percentile is reported."""
    return 10_000 // (1000 - per_mille)
