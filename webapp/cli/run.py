"""`serverlab run`: execute one run in a lab, print the results, and return an exit code."""

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

import typer

from coreserver.process_setup import raise_descriptor_limit
from coreserver.reports.objectives import ObjectiveResult
from coreserver.reports.schema.definitions import SCHEMA_VERSION
from coreserver.reports.schema.report import Report
from webapp.cli.exit_codes import (
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    EXIT_MISSED,
    EXIT_NO_SERVER,
    EXIT_OK,
    CommandError,
)
from webapp.cli.lab_access import command_error, own_lab, running_lab
from webapp.cli.run_body import Request, build_request
from webapp.cli.run_flags import LabFlags, LoadFlags, RunFlags, ServerFlags
from webapp.cli.run_output import ProgressLine, describe_end, render_summary
from webapp.cli.shared import Format, expand_flags, load_settings, report_errors
from webapp.cli.signals import SignalGuard
from webapp.cli.stdout import put
from webapp.client import LabClient, LabError
from webapp.schemas.resources import RunResource
from webapp.settings import Settings

CANNOT_CONNECT_CODES = ("could_not_connect", "cannot_start")
CANCEL_S = 15.0  # deadline for a cancelled run to end and to be stored


@expand_flags
def run_command(server: ServerFlags, load: LoadFlags, run: RunFlags, lab: LabFlags) -> None:
    """Run clients against a server and print the results.

    The lab at --url executes the run. Without --url it is the lab that is running on the data directory or, if none is
    running, a temporary lab for this command, which uses the --allow-target given here.

    Figures for --slo: {response, round_trip, lateness, connect, backlog, queue, greeting, session}_{mean, min, p50,
    p90, p99, p99_9, max}_ms; throughput_messages_per_s; duration_s; peak_in_service; {due, connected, greeted,
    completed, failed, refused, reset, timed_out, corrupted, ...}_connections; {sent, verified, corrupted,
    unanswered}_messages. A figure that is omitted because there are too few samples counts as missed.

    Exit status: 0 success; 1 output error; 2 usage error; 3 no lab, or no server to connect to; 4 the run is invalid or
    ended early; 99 an objective was missed; 130 interrupted; the report covers the time before.
    """
    with report_errors():
        settings = load_settings(data_dir=lab.data_dir, allow_target=lab.allow_target)
        request = build_request(server, load, run)
        raise typer.Exit(execute_request(request, settings, lab.url, as_json=run.output is Format.JSON))


def execute_request(request: Request, settings: Settings, url: str | None, *, as_json: bool) -> int:
    """Execute the run, print the results, and return the exit code.

    Raises:
        CommandError: the run could not start.
        CannotWrite: the results could not be printed.
    """
    with SignalGuard() as signals:
        try:
            with _lab(settings, url, signals) as lab:
                run, report, log = _measure(lab, request, signals, with_log=not as_json)
        except KeyboardInterrupt:
            raise CommandError("interrupted before there was anything to report", EXIT_INTERRUPTED) from None
        except TimeoutError as error:
            raise CommandError(f"interrupted, but {error}", EXIT_INTERRUPTED) from error
        judged = [objective.evaluate(report) for objective in request.objectives]
        put(_document(run, report, judged) if as_json else _text(run, report, judged, log))
        return EXIT_INTERRUPTED if signals.is_signalled else _exit_code(run, judged)


def _measure(
    lab: LabClient, request: Request, signals: SignalGuard, *, with_log: bool
) -> tuple[RunResource, Report | None, str | None]:
    """Return the run when it has ended, its report if it has one, and its log if it was requested."""
    try:
        run = _wait(lab, lab.run_spec(request.body), signals)
        report = lab.report(run.id) if run.verdict is not None else None
        return run, report, lab.log(run.id) if report and with_log and request.has_log else None
    except LabError as error:
        raise command_error(error) from error


# --- lab -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _lab(settings: Settings, url: str | None, signals: SignalGuard) -> Iterator[LabClient]:
    with contextlib.ExitStack() as stack:
        with signals.interruptible():
            address = url or running_lab(settings)
        if address is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="serverlab-"))
            raise_descriptor_limit()
            address = stack.enter_context(own_lab(replace(settings, data_dir=Path(folder))))
        lab = stack.enter_context(LabClient(address))
        try:
            with signals.interruptible():
                lab.version()
        except LabError as error:
            raise CommandError(error.detail, EXIT_NO_SERVER) from error
        yield lab


# --- waiting ---------------------------------------------------------------------------------------------------------


def _wait(lab: LabClient, run: RunResource, signals: SignalGuard) -> RunResource:
    """Return the run when it has ended; a signal cancels it."""
    line = ProgressLine(sys.stderr)
    try:
        with signals.interruptible():
            return lab.wait(run.id, math.inf, on_look=line.show)  # no deadline: other runs may be queued before it
    except KeyboardInterrupt:
        lab.cancel(run.id)
        return lab.wait(run.id, CANCEL_S)
    finally:
        line.clear()


def _exit_code(run: RunResource, judged: Sequence[ObjectiveResult]) -> int:
    code = run.reason.code if run.reason else None
    never_started = code == "server_failed" and run.verdict is None  # a server that fails later leaves a report
    if never_started or code in CANNOT_CONNECT_CODES:
        return EXIT_NO_SERVER
    if run.state != "completed" or run.verdict is None or run.verdict.status == "invalid":
        return EXIT_INVALID
    return EXIT_OK if all(one.met for one in judged) else EXIT_MISSED


# --- output ----------------------------------------------------------------------------------------------------------


def _text(run: RunResource, report: Report | None, judged: Sequence[ObjectiveResult], log: str | None) -> str:
    if report is None:
        return "\n".join([describe_end(run), *(f"objective    {one.objective} {one.detail}" for one in judged)])
    return "\n".join([*([log] if log else []), *render_summary(run, report, judged)])


def _document(run: RunResource, report: Report | None, judged: Sequence[ObjectiveResult]) -> str:
    document = _report_substitute(run) if report is None else report.model_dump(mode="json")
    if judged:
        document["objectives"] = [one.document() for one in judged]
    return json.dumps(document, indent=2)


def _report_substitute(run: RunResource) -> dict[str, Any]:
    """Return a document in place of the report, for a run that ended without one."""
    reasons = [{**run.reason.model_dump(), "severity": "invalid"}] if run.reason else []
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run.model_dump(mode="json"),
        "verdict": {"status": "invalid", "reasons": reasons},
    }
