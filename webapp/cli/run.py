"""`serverlab run`: find a lab or make one, send the clients, print what came of it, say it all in the exit code."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from coreserver.process_setup import raise_descriptor_limit
from coreserver.reports.definitions import SCHEMA_VERSION
from coreserver.reports.schema import Report
from webapp.cli.run_flags import Request
from webapp.cli.run_output import ProgressLine, summary, why
from webapp.cli.signals import EXIT_INTERRUPTED, SignalGuard
from webapp.cli.stdout import put
from webapp.client import LabClient, LabError, LabUnreachable
from webapp.objectives import ObjectiveResult
from webapp.schemas.resources import RunResource
from webapp.serving import CannotServe, embedded
from webapp.settings import Settings
from webapp.storage.data_dir import read_address

EXIT_OK, EXIT_UNWRITTEN, EXIT_USAGE, EXIT_NO_SERVER, EXIT_INVALID, EXIT_MISSED = 0, 1, 2, 3, 4, 99
NO_SERVER_CODES = ("could_not_connect", "cannot_start")
CANCEL_S = 15.0  # for a cancelled run to be over and stored


class Failure(Exception):
    """Nothing was measured; the message is for the person at the shell and `code` for the shell."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def carry_out(request: Request, settings: Settings, url: str | None, *, as_json: bool) -> int:
    """Do it and print it; the exit code.

    Raises:
        Failure: it could not even begin.
        CannotWrite: it could not be printed.
    """
    with SignalGuard() as interruption:
        try:
            with _lab(settings, url, interruption) as lab:
                run, report, log = _measured(lab, request, interruption, with_log=not as_json)
        except KeyboardInterrupt:
            raise Failure("interrupted before there was anything to report", EXIT_INTERRUPTED) from None
        except TimeoutError as error:
            raise Failure(f"interrupted, but {error}", EXIT_INTERRUPTED) from error
        judged = [objective.judged(report) for objective in request.objectives]
        put(_document(run, report, judged) if as_json else _text(run, report, judged, log))
        return EXIT_INTERRUPTED if interruption.is_asked else _exit_code(run, judged)


def _measured(
    lab: LabClient, request: Request, interruption: SignalGuard, *, with_log: bool
) -> tuple[RunResource, Report | None, str | None]:
    """The run when it is over, its report if it has one, and its log where it is asked for."""
    try:
        run = _waited_for(lab, lab.run_spec(request.body), interruption)
        report = lab.report(run.id) if run.verdict is not None else None
        return run, report, lab.log(run.id) if report and with_log and request.has_log else None
    except LabError as error:
        raise failure(error) from error


# --- the lab ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _lab(settings: Settings, url: str | None, interruption: SignalGuard) -> Iterator[LabClient]:
    with contextlib.ExitStack() as stack:
        with interruption.heard():
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
            with interruption.heard():
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


def _waited_for(lab: LabClient, run: RunResource, interruption: SignalGuard) -> RunResource:
    """The run when it is over, by itself or because the person at the shell wants its end."""
    line = ProgressLine(sys.stderr)
    try:
        with interruption.heard():
            return lab.wait(run.id, math.inf, on_look=line.show)  # a hundred others may be before it
    except KeyboardInterrupt:
        lab.cancel(run.id)
        return lab.wait(run.id, CANCEL_S)
    finally:
        line.clear()


def _exit_code(run: RunResource, judged: Sequence[ObjectiveResult]) -> int:
    code = run.reason.code if run.reason else None
    never_began = code == "server_failed" and run.verdict is None  # one that failed on the way leaves a report
    if never_began or code in NO_SERVER_CODES:
        return EXIT_NO_SERVER
    if run.state != "completed" or run.verdict is None or run.verdict.status == "invalid":
        return EXIT_INVALID
    return EXIT_OK if all(one.met for one in judged) else EXIT_MISSED


# --- what is printed -------------------------------------------------------------------------------------------------


def _text(run: RunResource, report: Report | None, judged: Sequence[ObjectiveResult], log: str | None) -> str:
    if report is None:
        return "\n".join([why(run), *(f"objective    {one.objective} {one.detail}" for one in judged)])
    return "\n".join([*([log] if log else []), *summary(run, report, judged)])


def _document(run: RunResource, report: Report | None, judged: Sequence[ObjectiveResult]) -> str:
    document = _stand_in(run) if report is None else report.model_dump(mode="json")
    if judged:
        document["objectives"] = [one.document() for one in judged]
    return json.dumps(document, indent=2)


def _stand_in(run: RunResource) -> dict[str, Any]:
    """What takes the place of the report of a run that ended without one."""
    reasons = [{**run.reason.model_dump(), "severity": "invalid"}] if run.reason else []
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run.model_dump(mode="json"),
        "verdict": {"status": "invalid", "reasons": reasons},
    }
