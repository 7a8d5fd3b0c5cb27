"""Names of the `serverlab run` flags that describe a server or a client group, read by the command and the recipes."""

from __future__ import annotations

from collections.abc import Mapping

DESIGN_FLAGS = ("workers", "queue_limit", "when_full")  # the others are given with --option

_SHARED = {
    "duration": "duration_s",
    "warm_up": "warm_up_s",
    "message_bytes": "message_bytes",
    "messages_per_connection": "messages_per_connection",
    "timeout": "timeout_s",
}

# Kind of group -> name of the flag -> field of the group's settings.
FLAG_FIELDS: Mapping[str, Mapping[str, str]] = {
    "script": {"clients": "count", "script": "script", "timeout": "timeout_s"},
    "closed": {"clients": "count", "think": "think_s", "think_spread": "think", **_SHARED},
    "open": {"rate": "rate_per_s", "stages": "stages", "ramp": "ramp", "arrivals": "arrivals", **_SHARED},
}
