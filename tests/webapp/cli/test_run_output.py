"""Progress line, substitute report and exit code of `serverlab run`."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from coreserver.reports.schema.definitions import SCHEMA_VERSION
from coreserver.reports.schema.verdict_shape import Verdict
from webapp.cli.run import _document, _exit_code
from webapp.cli.run_output import ProgressLine
from webapp.schemas.resources import Reason, RunResource
from webapp.schemas.run_progress import RunProgress


class Terminal(io.StringIO):
    """Stream whose `isatty` is true."""

    def isatty(self) -> bool:
        return True


def seen(state: str, elapsed_s: float | None = None, **counts: int) -> RunResource:
    """Return a run in this state."""
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
    run = seen("cancelled").model_copy(update={"reason": Reason(code="cancelled", detail="cancelled on request")})
    document = json.loads(_document(run, None, []))
    assert document["schema_version"] == SCHEMA_VERSION
    assert document["run"]["state"] == "cancelled"
    reason = {"code": "cancelled", "severity": "invalid", "detail": "cancelled on request"}
    assert document["verdict"] == {"status": "invalid", "reasons": [reason]}


@pytest.mark.parametrize(
    ("state", "code", "verdict", "exit_code"),
    [
        ("completed", None, "valid", 0),
        ("completed", None, "suspect", 0),
        ("completed", None, "invalid", 4),
        ("failed", "could_not_connect", None, 3),
        ("failed", "could_not_connect", "invalid", 3),  # all connections were refused
        ("failed", "cannot_start", "invalid", 3),
        ("failed", "server_failed", None, 3),  # before the first client
        ("failed", "server_failed", "invalid", 4),  # later
        ("failed", "worker_died", "invalid", 4),
        ("cancelled", "cancelled", "suspect", 4),  # by another client of the lab
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
