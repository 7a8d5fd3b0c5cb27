"""Conversion of the flags of `serverlab run` to the body of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from webapp.cli.exit_codes import UsageError
from webapp.cli.run_body import build_groups, build_server, parse_cpus, read_spec
from webapp.cli.run_flags import LoadFlags, ServerFlags


@pytest.mark.parametrize(
    ("flags", "group"),
    [
        ({}, {"kind": "script", "count": 3, "script": "article"}),
        ({"clients": 7}, {"kind": "script", "count": 7, "script": "article"}),
        ({"script": "article"}, {"kind": "script", "count": 3, "script": "article"}),
        ({"clients": 64, "duration": "5s"}, {"kind": "closed", "count": 64, "duration_s": 5.0}),
        ({"duration": "1.5m"}, {"kind": "closed", "duration_s": 90.0}),
        ({"duration": "2", "warm_up": "250ms"}, {"kind": "closed", "duration_s": 2.0, "warm_up_s": 0.25}),
        ({"think": "10ms", "message_bytes": 100}, {"kind": "closed", "think_s": 0.01, "message_bytes": 100}),
        ({"messages_per_connection": 4}, {"kind": "closed", "messages_per_connection": 4}),
        ({"think": "1s", "think_spread": "exponential"}, {"kind": "closed", "think_s": 1.0, "think": "exponential"}),
        ({"clients": 2, "timeout": "3s"}, {"kind": "script", "count": 2, "script": "article", "timeout_s": 3.0}),
        ({"rate": 200.0}, {"kind": "open", "rate_per_s": 200.0}),
        (
            {"stages": "100:5s,400.5:500ms", "ramp": True},
            {
                "kind": "open",
                "stages": [{"rate_per_s": 100.0, "duration_s": 5.0}, {"rate_per_s": 400.5, "duration_s": 0.5}],
                "ramp": True,
            },
        ),
        (
            {"rate": 200.0, "arrivals": "constant", "duration": "5s", "message_bytes": 9},
            {"kind": "open", "rate_per_s": 200.0, "arrivals": "constant", "duration_s": 5.0, "message_bytes": 9},
        ),
    ],
    ids=str,
)
def test_flags_describe_one_group(flags: dict[str, Any], group: dict[str, Any]) -> None:
    assert build_groups(LoadFlags(**flags)) == [group]


def test_further_groups_are_json() -> None:
    probe = {"kind": "open", "rate_per_s": 5, "name": "probe"}
    text = '{"kind": "open", "rate_per_s": 5, "name": "probe"}'
    assert build_groups(LoadFlags(group=[text])) == [probe]
    assert build_groups(LoadFlags(duration="1s", group=[text])) == [{"kind": "closed", "duration_s": 1.0}, probe]
    for bad in ("{", "[]", '{"count": 1}', '{"kind": "idle", "kind": "idle"}'):
        with pytest.raises(UsageError, match="--group"):
            build_groups(LoadFlags(group=[bad]))


@pytest.mark.parametrize("flags", [{"stages": "100"}, {"stages": "x:5s"}, {"stages": "1:2s,"}, {"ramp": True}])
def test_invalid_stages_are_refused(flags: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"--(stages|ramp)"):
        build_groups(LoadFlags(**flags))


def test_cpus_are_comma_separated() -> None:
    assert parse_cpus("0,12") == [0, 12]
    for bad in ("", "0-1", "0,", "a"):
        with pytest.raises(UsageError, match="--client-cpus"):
            parse_cpus(bad)


def test_spec_excludes_other_flags(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"server": {"id": 1}, "clients": []}')
    assert read_spec(str(path), {}) == {"server": {"id": 1}, "clients": []}
    with pytest.raises(UsageError, match="cannot be combined with --client-processes"):
        read_spec(str(path), {"client_processes": 2})
    for text in ("[]", "{"):
        path.write_text(text)
        with pytest.raises(UsageError, match="--spec"):
            read_spec(str(path), {})
    with pytest.raises(UsageError, match="No such file"):
        read_spec(str(tmp_path / "none"), {})


def test_server_is_design_id_or_address() -> None:
    assert build_server(ServerFlags()) == {"model": "sequential"}
    assert build_server(ServerFlags(model="bounded_pool", workers=2, option=["when-full=refuse"])) == {
        "model": "bounded_pool",
        "workers": 2,
        "when_full": "refuse",
    }
    assert build_server(ServerFlags(server=4)) == {"id": 4}
    assert build_server(ServerFlags(target="127.0.0.1:9000")) == {"address": "127.0.0.1:9000"}
    with pytest.raises(UsageError):
        build_server(ServerFlags(server=4, target="127.0.0.1:9000"))
