"""`serverlab run`: find a lab or make one, send the clients, print what came of it, say it all in the exit code."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from webapp.client import LabClient, LabError, LabUnreachable
from webapp.datadir import read_address
from webapp.objectives import Judged
from webapp.quotas import raise_descriptor_limit
from webapp.run_request import Request
from webapp.run_text import ProgressLine, summary, why
from webapp.schemas import RunResource
from webapp.serve import CannotServe, embedded
from webapp.settings import Settings

EXIT_OK, EXIT_USAGE, EXIT_NO_SERVER, EXIT_INVALID, EXIT_MISSED, EXIT_INTERRUPTED = 0, 2, 3, 4, 99, 130
NO_SERVER_CODES = ("could_not_connect", "cannot_start", "server_failed")
CANCEL_S = 15.0  # for a cancelled run to be over and stored


class Failure(Exception):
    """Nothing was measured; the message is for the person at the shell and `code` for the shell."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def carry_out(request: Request, settings: Settings, url: str | None, *, as_json: bool) -> int:
    """Do it and print it; the exit code. Failure: it could not even begin."""
    with _interruptible(), _lab(settings, url) as lab:
        try:
            run = lab.run_spec(request.body)
            run, interrupted = _waited_for(lab, run)
            report = lab.report(run.id) if run.verdict is not None else None
            judged = [objective.judged(report) for objective in request.objectives]
            log = lab.log(run.id) if report and request.has_log and not as_json else None
        except LabError as error:
            raise failure(error) from error
    _print(_document(run, report, judged) if as_json else _text(run, report, judged, log))
    return EXIT_INTERRUPTED if interrupted else _exit_code(run, judged)


# --- the lab ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _lab(settings: Settings, url: str | None) -> Iterator[LabClient]:
    with contextlib.ExitStack() as stack:
        address = url or running_lab(settings)
        if address is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="serverlab-"))
            own = replace(settings, host="127.0.0.1", port=0, data_dir=Path(folder))
            raise_descriptor_limit()
            try:
                address = stack.enter_context(embedded(own))
            except CannotServe as error:
                raise Failure(str(error), EXIT_NO_SERVER) from error
        lab = stack.enter_context(LabClient(address))
        try:
            lab.version()
        except LabError as error:
            raise Failure(error.detail, EXIT_NO_SERVER) from error
        yield lab


def running_lab(settings: Settings) -> str | None:
    """The address of the data dir's lab, if it answers: a killed lab leaves its address behind."""
    address = read_address(settings.data_dir)
    if address is None:
        return None
    with LabClient(address, timeout_s=3.0) as lab, contextlib.suppress(LabError):
        lab.version()
        return address
    return None


def failure(error: LabError) -> Failure:
    """What the lab refused, for the shell."""
    told = "; ".join(f"{each.field.removeprefix('server.')}: {each.message}" for each in error.errors) or error.detail
    usage = not isinstance(error, LabUnreachable) and error.status in (400, 404, 413, 422)
    return Failure(told, EXIT_USAGE if usage else EXIT_NO_SERVER)


# --- the wait --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does, so that a run is cancelled and an embedded lab closed either way."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _waited_for(lab: LabClient, run: RunResource) -> tuple[RunResource, bool]:
    """The run when it is over, and whether it was cut short by the person at the shell."""
    line = ProgressLine(sys.stderr)
    try:
        return lab.wait(run.id, on_look=line.show), False
    except KeyboardInterrupt:
        lab.cancel(run.id)
        return lab.wait(run.id, CANCEL_S), True
    finally:
        line.clear()


def _exit_code(run: RunResource, judged: Sequence[Judged]) -> int:
    if run.reason is not None and run.reason.code in NO_SERVER_CODES:
        return EXIT_NO_SERVER
    if run.state != "completed" or run.verdict is None or run.verdict.status == "invalid":
        return EXIT_INVALID
    return EXIT_OK if all(one.met for one in judged) else EXIT_MISSED


# --- what is printed -------------------------------------------------------------------------------------------------


def _text(run: RunResource, report: Mapping[str, Any] | None, judged: Sequence[Judged], log: str | None) -> str:
    if report is None:
        return "\n".join([why(run), *(f"objective    {one.objective} {one.detail}" for one in judged)])
    return "\n".join([*([log] if log else []), *summary(run, report, judged)])


def _document(run: RunResource, report: Mapping[str, Any] | None, judged: Sequence[Judged]) -> str:
    document = dict(report or _stand_in(run))
    if judged:
        document["objectives"] = [one.document() for one in judged]
    return json.dumps(document, indent=2)


def _stand_in(run: RunResource) -> dict[str, Any]:
    """What takes the place of the report of a run that ended without one."""
    reasons = [run.reason.model_dump()] if run.reason else []
    return {
        "schema_version": 1,
        "run": run.model_dump(mode="json"),
        "verdict": {"status": "invalid", "reasons": reasons},
    }


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
