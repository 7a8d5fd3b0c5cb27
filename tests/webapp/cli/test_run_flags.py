"""From the flags of `serverlab run` to client groups, and the line that shows a run going on."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from coreserver.reports.definitions import SCHEMA_VERSION
from coreserver.reports.schema import Verdict
from webapp.cli.exit_codes import UsageError
from webapp.cli.run import _document, _exit_code
from webapp.cli.run_body import build_groups, build_server, parse_cpus, read_spec
from webapp.cli.run_flags import LoadFlags, ServerFlags
from webapp.cli.run_output import ProgressLine
from webapp.schemas.resources import Reason, RunResource
from webapp.schemas.run_progress import RunProgress


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
    with pytest.raises(UsageError, match="it excludes --client-processes"):
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


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def seen(state: str, elapsed_s: float | None = None, **counts: int) -> RunResource:
    """A run as a look at it gives it."""
    return RunResource(
        id=1,
        state=state,
        label="",
        note="",
        model="asyncio",
        server_id=None,
        created_at=datetime.now(UTC),
        started_at=None,
        ended_at=None,
        progress=None if elapsed_s is None else RunProgress(elapsed_s=elapsed_s, counts=counts),
        verdict=None,
        sentence=None,
        totals=None,
        reason=None,
        config={},
        links={},
    )


def test_progress_line_is_erased_at_end() -> None:
    terminal = Terminal()
    line = ProgressLine(terminal)
    line.show(seen("queued"))
    line.show(seen("running", 0.5, connecting=1, waiting=3, in_service=60, messages=1000))
    line.show(seen("running", 0.7, waiting=0, in_service=64, messages=1000))
    line.show(seen("running", 1.0, waiting=0, in_service=64, messages=5000))
    line.clear()
    assert terminal.getvalue().split("\r\x1b[K")[1:] == [
        "queued",
        "running 0.5 s, 2,000 messages/s, 64 in flight",
        "running 0.7 s, 2,000 messages/s, 64 in flight",
        "running 1.0 s, 8,000 messages/s, 64 in flight",
        "",
    ]


def test_no_progress_line_without_terminal() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    line.show(seen("running", 0.5, messages=1))
    line.clear()
    assert stream.getvalue() == ""


def test_cancelled_run_has_substitute_report() -> None:
    run = seen("cancelled").model_copy(update={"reason": Reason(code="cancelled", detail="somebody asked")})
    document = json.loads(_document(run, None, []))
    assert document["schema_version"] == SCHEMA_VERSION
    assert document["run"]["state"] == "cancelled"
    reason = {"code": "cancelled", "severity": "invalid", "detail": "somebody asked"}
    assert document["verdict"] == {"status": "invalid", "reasons": [reason]}


@pytest.mark.parametrize(
    ("state", "code", "verdict", "exit_code"),
    [
        ("completed", None, "valid", 0),
        ("completed", None, "suspect", 0),
        ("completed", None, "invalid", 4),
        ("failed", "could_not_connect", None, 3),
        ("failed", "could_not_connect", "invalid", 3),  # every connect was refused
        ("failed", "cannot_start", "invalid", 3),
        ("failed", "server_failed", None, 3),  # before the first client
        ("failed", "server_failed", "invalid", 4),  # on the way
        ("failed", "worker_died", "invalid", 4),
        ("cancelled", "cancelled", "suspect", 4),  # not by the person at this shell
        ("failed", "storage", None, 4),
    ],
)
def test_exit_code_follows_from_run(state: str, code: str | None, verdict: Any, exit_code: int) -> None:
    run = seen(state).model_copy(
        update={
            "reason": Reason(code=code, detail="why") if code else None,
            "verdict": Verdict(status=verdict, reasons=[]) if verdict else None,
        }
    )
    assert _exit_code(run, []) == exit_code
