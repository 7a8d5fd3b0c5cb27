"""`serverlab run`: find a lab or make one, send the clients, print what came of it, say it all in the exit code."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from webapp import strict_json
from webapp.client import LabClient, LabError, LabUnreachable
from webapp.datadir import read_address
from webapp.problems import Problem
from webapp.schemas import RunResource
from webapp.serve import CannotServe, embedded
from webapp.settings import Settings

EXIT_OK, EXIT_USAGE, EXIT_NO_SERVER, EXIT_INVALID, EXIT_INTERRUPTED = 0, 2, 3, 4, 130
NO_SERVER_CODES = ("could_not_connect", "cannot_start", "server_failed")
CANCEL_S = 15.0  # for a cancelled run to be over and stored


class Failure(Exception):
    """Nothing was measured; the message is for the person at the shell and `code` for the shell."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for."""

    server: Mapping[str, Any]
    clients: int
    script: str | Sequence[Mapping[str, Any]]
    seed: int
    label: str

    @classmethod
    def parse(
        cls,
        *,
        model: str,
        server_id: int | None,
        options: Mapping[str, Any],
        more_options: Sequence[str],
        clients: int,
        script: str,
        seed: int,
        label: str,
    ) -> Request:
        """Check what can be checked without a lab; Failure says what is wrong."""
        config = {"model": model, **options, **dict(_option(text) for text in more_options)}
        if server_id is not None and (options or more_options):
            raise Failure("--server is a running server; it takes no options of its own", EXIT_USAGE)
        server = config if server_id is None else {"id": server_id}
        return cls(server, clients, "article" if script == "article" else _steps(Path(script)), seed, label)


def carry_out(request: Request, settings: Settings, url: str | None, *, as_json: bool) -> int:
    """Do it and print it; the exit code. Failure: it could not even begin."""
    with _interruptible(), _lab(settings, url) as lab:
        try:
            run = lab.run(
                request.server,
                request.clients,
                script=request.script,
                label=request.label,
                seed=request.seed,
            )
            run, interrupted = _waited_for(lab, run)
            _print(lab, run, as_json=as_json)
        except LabError as error:
            raise _failure(error) from error
    return EXIT_INTERRUPTED if interrupted else _exit_code(run)


# --- what was asked --------------------------------------------------------------------------------------------------


def _option(text: str) -> tuple[str, Any]:
    """`workers=2` as a name and a value; a value that is no JSON is text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Failure(f"--option {text!r} should be KEY=VALUE", EXIT_USAGE)
    try:
        return name.replace("-", "_"), json.loads(value)
    except ValueError:
        return name.replace("-", "_"), value


def _steps(path: Path) -> list[dict[str, Any]]:
    try:
        steps = strict_json.parse(path.read_bytes())
    except OSError as error:
        raise Failure(f"--script {path}: {error.strerror}; it is `article` or a file", EXIT_USAGE) from error
    except Problem as problem:
        raise Failure(f"--script {path}: {problem.detail}", EXIT_USAGE) from problem
    if not isinstance(steps, list):
        raise Failure(f'--script {path}: must hold a list of steps, such as [{{"send": "^ab$"}}]', EXIT_USAGE)
    return steps


# --- the lab ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _lab(settings: Settings, url: str | None) -> Iterator[LabClient]:
    with contextlib.ExitStack() as stack:
        address = url or _running(settings)
        if address is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="serverlab-"))
            own = replace(settings, host="127.0.0.1", port=0, data_dir=Path(folder))
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


def _running(settings: Settings) -> str | None:
    """The address of the data dir's lab, if it answers: a killed lab leaves its address behind."""
    address = read_address(settings.data_dir)
    if address is None:
        return None
    with LabClient(address, timeout_s=3.0) as lab, contextlib.suppress(LabError):
        lab.version()
        return address
    return None


def _failure(error: LabError) -> Failure:
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
    try:
        return lab.wait(run.id), False
    except KeyboardInterrupt:
        lab.cancel(run.id)
        return lab.wait(run.id, CANCEL_S), True


def _exit_code(run: RunResource) -> int:
    if run.reason is not None and run.reason.code in NO_SERVER_CODES:
        return EXIT_NO_SERVER
    if run.state != "completed" or run.verdict is None or run.verdict.status == "invalid":
        return EXIT_INVALID
    return EXIT_OK


# --- what is printed -------------------------------------------------------------------------------------------------


def _print(lab: LabClient, run: RunResource, *, as_json: bool) -> None:
    report = lab.report(run.id) if run.verdict is not None else None
    if as_json:
        json.dump(report or _stand_in(run), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        lines = [lab.log(run.id), *_summary(run, report)] if report else [_why(run)]
        sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _stand_in(run: RunResource) -> dict[str, Any]:
    """What takes the place of the report of a run that ended without one."""
    reasons = [run.reason.model_dump()] if run.reason else []
    return {
        "schema_version": 1,
        "run": run.model_dump(mode="json"),
        "verdict": {"status": "invalid", "reasons": reasons},
    }


def _summary(run: RunResource, report: Mapping[str, Any]) -> Iterator[str]:
    totals, response = report["totals"], report["latency"]["response_ms"]
    counts = totals["connections"]
    yield str(run.sentence or _why(run))
    yield ""
    yield f"run          {run.id}, {run.state}" + (f": {run.reason.detail}" if run.reason else "")
    yield f"server       {run.model}"
    at_once = totals["peak_in_service"]
    yield f"clients      {counts['completed']} of {counts['due']} completed, at most {at_once} served at once"
    yield f"messages     {totals['messages']['verified']} answered and checked of {totals['messages']['sent']} sent"
    if totals["duration_s"] is not None:
        yield f"duration     {totals['duration_s']:.3f} s"
    if response["count"]:
        yield f"response     {response['mean']:.1f} ms mean, {response['min']:.1f} to {response['max']:.1f} ms"
    yield f"verdict      {report['verdict']['status']}"
    for reason in report["verdict"]["reasons"]:
        yield f"             {reason['code']}: {reason['detail']}"


def _why(run: RunResource) -> str:
    return f"run {run.id} {run.state}: {run.reason.detail}" if run.reason else f"run {run.id} {run.state}"
