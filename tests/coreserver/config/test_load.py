"""The settings of a load: invalid ones are refused with the name of the field."""

from __future__ import annotations

import os
from typing import Any

import pytest
from pydantic import ValidationError

from coreserver.config.load import LoadConfig, OpenGroup

STAGES = [{"rate_per_s": 10.0, "duration_s": 2.0}, {"rate_per_s": 0.0, "duration_s": 1.0}]


def load(group: dict[str, Any], **more: Any) -> LoadConfig:
    return LoadConfig.model_validate({"clients": [group], **more})


@pytest.mark.parametrize(
    ("group", "field"),
    [
        ({"kind": "open"}, "rate_per_s"),
        ({"kind": "open", "rate_per_s": 5.0, "stages": STAGES}, "rate_per_s"),
        ({"kind": "open", "rate_per_s": 0.0}, "rate_per_s"),
        ({"kind": "open", "rate_per_s": 5.0, "ramp": True}, "ramp"),
        ({"kind": "open", "stages": STAGES, "duration_s": 3.0}, "duration_s"),
        ({"kind": "open", "stages": []}, "stages"),
        ({"kind": "open", "stages": [{"rate_per_s": 1.0, "duration_s": 400.0}] * 2}, "duration_s"),
        ({"kind": "open", "stages": STAGES, "warm_up_s": 3.0}, "warm_up_s"),
        ({"kind": "open", "rate_per_s": 5.0, "duration_s": 1.0, "warm_up_s": 1.0}, "warm_up_s"),
        ({"kind": "open", "rate_per_s": 5.0, "messages_per_connection": None}, "messages_per_connection"),
        ({"kind": "closed", "duration_s": 601.0}, "duration_s"),
        ({"kind": "closed", "warm_up_s": 5.0}, "warm_up_s"),
        ({"kind": "closed", "message_bytes": (1 << 20) + 1}, "message_bytes"),
        ({"kind": "closed", "message_bytes": 0}, "message_bytes"),
        ({"kind": "closed", "count": 50_001}, "count"),
        ({"kind": "idle", "hold_s": 0.0}, "hold_s"),
        ({"kind": "slow_writer", "bytes_per_s": 0.0}, "bytes_per_s"),
        ({"kind": "slow_reader", "think_s": 1.0}, "think_s"),
        ({"kind": "reset", "after_bytes": -1}, "after_bytes"),
        ({"kind": "flood", "rate_per_s": 50_001.0}, "rate_per_s"),
    ],
)
def test_invalid_field_is_named(group: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        load(group)
    (error,) = refused.value.errors()
    assert error["loc"] == ("clients", 0, group["kind"], field)


@pytest.mark.parametrize(
    "groups",
    [
        [{"kind": "idle", "name": "a", "count": 30_000}, {"kind": "closed", "name": "b", "count": 20_001}],
        [{"kind": "flood", "rate_per_s": 5_000.0, "duration_s": 51.0}],
        [{"kind": "idle"}, {"kind": "idle"}],
    ],
)
def test_limits_apply_to_all_groups_together(groups: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError) as refused:
        LoadConfig.model_validate({"clients": groups})
    (error,) = refused.value.errors()
    assert error["loc"] == ("clients",)


def test_unavailable_cpu_is_refused() -> None:
    missing = max(os.sched_getaffinity(0)) + 1
    with pytest.raises(ValidationError, match=f"CPU {missing} is not available"):
        load({"kind": "closed"}, client_cpus=[missing])


@pytest.mark.parametrize(
    "group",
    [
        {"kind": "open", "rate_per_s": 5.0},
        {"kind": "open", "stages": STAGES, "ramp": True},
        {"kind": "closed"},
        {"kind": "script"},
        {"kind": "idle"},
        {"kind": "slow_writer"},
        {"kind": "slow_reader"},
        {"kind": "reset"},
        {"kind": "half_close"},
        {"kind": "flood"},
    ],
)
def test_load_survives_json_round_trip(group: dict[str, Any]) -> None:
    config = load(group)
    assert LoadConfig.model_validate_json(config.model_dump_json()) == config


def test_stages_are_steps_or_ramps() -> None:
    (steps,) = load({"kind": "open", "stages": STAGES}).clients
    (ramps,) = load({"kind": "open", "stages": STAGES, "ramp": True}).clients
    assert isinstance(steps, OpenGroup)
    assert isinstance(ramps, OpenGroup)
    assert steps.segments == [(10.0, 10.0, 2.0), (0.0, 0.0, 1.0)]
    assert ramps.segments == [(0.0, 10.0, 2.0), (10.0, 0.0, 1.0)]
    assert steps.least_s == 3.0
