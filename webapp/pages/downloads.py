"""What can be taken away of a run, and what each file is for."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.schemas.resources import RunResource


@dataclass(frozen=True)
class Download:
    """A file: what it is called, where it is, what one does with it, and whether a click keeps it."""

    name: str
    href: str
    use: str
    is_download: bool = False


def downloads(run: RunResource) -> tuple[Download, ...]:
    """Every file of a run that has ended with a report; none of any other."""
    if not run.is_over or run.verdict is None:
        return ()
    base = f"/api/v1/runs/{run.id}"
    whole = (
        Download("report.json", f"{base}/report.json", "the whole run; another lab can import it", is_download=True),
    )
    report = (
        Download(
            "report.html", f"{base}/report.html", "this page with its charts as one file that opens offline", True
        ),
        Download("report", f"{base}/report", "its figures, for scripts, as its JSON Schema describes them"),
        Download("histogram", f"{base}/histogram", "response times as HdrHistogram's plotter opens them"),
    )
    records = (
        Download("connections.csv", f"{base}/connections.csv", "a line a connection, for a spreadsheet", True),
        Download("connections.json", f"{base}/connections", "the same for scripts"),
        Download("log", f"{base}/log", "what each client did, in the article's format"),
        Download("trace.json", f"{base}/trace", "every connection and worker, for Perfetto (ui.perfetto.dev)", True),
        Download("timeline.svg", f"{base}/charts/timeline.svg", "the drawing above, for a slide"),
        Download("lanes.svg", f"{base}/charts/lanes.svg", "the same from the workers' side"),
    )
    has_records = run.imported_from is None or run.imported_from.has_records
    return (*whole, *report, *(records if has_records else ()))
