"""The part of a run's page that shows its progress: phase, figures, errors, the last minute."""

from __future__ import annotations

from dataclasses import dataclass

from coreserver.clock import NS_PER_S
from coreserver.config.load import most_clients
from webapp import formatting
from webapp.formatting import Figure
from webapp.forms.schema_form import check
from webapp.lab.lab import Lab
from webapp.lab.run_history import COLUMNS
from webapp.live.sparklines import Chart, sparkline
from webapp.live.worker_lanes import WINDOW_S
from webapp.pages.base import render
from webapp.schemas.resources import RunResource
from webapp.schemas.run_progress import RunHistory, RunProgress, RunStage
from webapp.schemas.run_spec import RunSpec

MIN_WINDOW_S = 10.0  # of a sparkline at the start of a run
PHASES = {
    "due": "due so far",
    "connecting": "connecting",
    "waiting": "waiting",
    "in_service": "in service",
    "completed": "completed",
    "failed": "failed",
}
RATES = {"messages_per_s": "messages/s", "connections_per_s": "connections/s", "in_flight": "in flight"}
SERVER = {"queue_depth": "in the queue", "threads_alive": "threads", "threads_busy": "busy threads"}


@dataclass(frozen=True)
class ErrorRow:
    """Connections that failed with one outcome and detail."""

    count: str
    outcome: str
    detail: str
    last: str


@dataclass(frozen=True)
class Progress:
    """The progress of a run that is queued or running."""

    run_id: int
    phase: str
    words: str
    elapsed: str
    expected: str
    clients: int
    ended: int
    phases: tuple[Figure, ...]
    rates: tuple[Figure, ...]
    charts: tuple[Chart, ...]
    errors: tuple[ErrorRow, ...]
    errors_not_shown: str


def render_progress(lab: Lab, run_id: int) -> str:
    """Render the progress of a run as a fragment of its page; empty when it has ended."""
    run = lab.runs.get(run_id)
    spec, _ = check(RunSpec, run.config)
    return render("fragments/run_progress.html", progress=progress_of(run, spec, lab.runs.history(run_id)))


def progress_of(run: RunResource, spec: RunSpec | None, history: RunHistory | None) -> Progress | None:
    """Return the progress of a run; None if it has ended."""
    if run.is_over:
        return None
    progress = run.progress
    counts = progress.counts if progress else {}
    return Progress(
        run_id=run.id,
        phase=run.stage.phase if run.stage else "",
        words=run.stage.words if run.stage else "",
        elapsed=formatting.age(progress.elapsed_s if progress else None),
        expected=_expected(run.stage, progress),
        clients=most_clients(spec.clients) if spec else 1,
        ended=counts.get("completed", 0) + counts.get("failed", 0),
        phases=tuple(Figure(label, formatting.count(counts.get(name, 0)), name) for name, label in PHASES.items()),
        rates=_rates(progress),
        charts=_charts(history),
        errors=_errors(progress),
        errors_not_shown=formatting.count(progress.errors_untold) if progress and progress.errors_untold else "",
    )


def _expected(stage: RunStage | None, progress: RunProgress | None) -> str:
    """Return when the run should end, and the time since then."""
    if stage is None:
        return formatting.NONE
    end = formatting.age(stage.expected_end_s)
    over_s = (progress.elapsed_s if progress else 0.0) - stage.expected_end_s
    late = f", exceeded by {formatting.age(over_s)}" if over_s > 0 else ""
    return f"{'about ' if stage.is_about else ''}{end}{late}"


def _rates(progress: RunProgress | None) -> tuple[Figure, ...]:
    """Return the figures of this instant; those of the server are unknown for an external one."""
    server = progress.server if progress else None
    found = [Figure(label, formatting.count(getattr(progress, name, None)), name) for name, label in RATES.items()]
    return (
        *found,
        *(Figure(label, formatting.count(getattr(server, name, None)), name) for name, label in SERVER.items()),
    )


def _charts(history: RunHistory | None) -> tuple[Chart, ...]:
    rows = [tuple(row) for row in history.rows] if history else []
    at_s = (rows[-1][0] or 0.0) if rows else 0.0
    window_s = min(max(at_s, MIN_WINDOW_S), WINDOW_S)

    def chart(label: str, *columns: str) -> Chart:
        return sparkline(label, columns, rows, round(at_s * NS_PER_S), of=COLUMNS, window_s=window_s)

    return (
        chart("messages/s", "messages_per_s"),
        chart("in service, waiting", "in_service", "waiting"),
        chart("in the queue, threads", "queue_depth", "threads_alive"),
    )


def _errors(progress: RunProgress | None) -> tuple[ErrorRow, ...]:
    return tuple(
        ErrorRow(
            formatting.count(error.count),
            error.outcome.replace("_", " "),
            error.detail,
            formatting.age(error.last_s),
        )
        for error in (progress.errors if progress else [])
    )
