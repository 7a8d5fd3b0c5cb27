"""A run that is not over, as its page first shows it: its stage in words, figures, what went wrong, the last minute."""

from __future__ import annotations

from dataclasses import dataclass

from coreserver.clock import NS_PER_S
from coreserver.config.load import most_clients
from webapp import formatting
from webapp.formatting import Figure
from webapp.lab.run_history import COLUMNS
from webapp.live.sparklines import Chart, chart_of
from webapp.live.worker_lanes import WINDOW_S
from webapp.schemas.resources import RunResource
from webapp.schemas.run_progress import RunHistory, RunProgress, RunStage
from webapp.schemas.run_spec import RunSpec

MIN_WINDOW_S = 10.0  # across a chart, while the run is young
PHASES = {
    "due": "due so far",
    "connecting": "connecting",
    "waiting": "waiting",
    "in_service": "in service",
    "completed": "completed",
    "failed": "failed",
}
RATES = {"messages_per_s": "messages a second", "connections_per_s": "connections a second", "in_flight": "in flight"}
SERVER = {"queue_depth": "in the server's queue", "threads_alive": "threads", "threads_busy": "threads busy"}


@dataclass(frozen=True)
class ErrorRow:
    """Connections that failed in one way."""

    count: str
    outcome: str
    detail: str
    last: str


@dataclass(frozen=True)
class UnderWay:
    """What the page shows of a run while it is queued or running."""

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
    errors_untold: str


def under_way(run: RunResource, spec: RunSpec | None, history: RunHistory | None) -> UnderWay | None:
    """The part of the page that is live; None of a run that is over."""
    if run.is_over:
        return None
    progress = run.progress
    counts = progress.counts if progress else {}
    return UnderWay(
        phase=run.stage.phase if run.stage else "",
        words=run.stage.words if run.stage else "",
        elapsed=formatting.seconds(max(progress.elapsed_s, 0.0) if progress else None),
        expected=_expected(run.stage, progress),
        clients=most_clients(spec.clients) if spec else 1,
        ended=counts.get("completed", 0) + counts.get("failed", 0),
        phases=tuple(Figure(label, formatting.count(counts.get(name, 0)), name) for name, label in PHASES.items()),
        rates=_rates(progress),
        charts=_charts(history),
        errors=_errors(progress),
        errors_untold=formatting.count(progress.errors_untold) if progress and progress.errors_untold else "",
    )


def _expected(stage: RunStage | None, progress: RunProgress | None) -> str:
    """When it should end, and by how much that has passed."""
    if stage is None:
        return formatting.NONE
    end = f"{stage.expected_end_s:.1f}{formatting.NARROW}s"
    over_s = (progress.elapsed_s if progress else 0.0) - stage.expected_end_s
    late = f", over by {over_s:.1f}{formatting.NARROW}s" if over_s > 0 else ""
    return f"{'about ' if stage.is_about else ''}{end}{late}"


def _rates(progress: RunProgress | None) -> tuple[Figure, ...]:
    """Figures of this instant; those of the server only where it is ours."""
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
        return chart_of(label, columns, rows, round(at_s * NS_PER_S), of=COLUMNS, window_s=window_s)

    return (
        chart("messages a second", "messages_per_s"),
        chart("in service, and waiting", "in_service", "waiting"),
        chart("in the server's queue, and threads", "queue_depth", "threads_alive"),
    )


def _errors(progress: RunProgress | None) -> tuple[ErrorRow, ...]:
    return tuple(
        ErrorRow(
            formatting.count(error.count),
            error.outcome.replace("_", " "),
            error.detail,
            f"{error.last_s:.1f}{formatting.NARROW}s",
        )
        for error in (progress.errors if progress else [])
    )
