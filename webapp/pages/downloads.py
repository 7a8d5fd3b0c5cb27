"""The downloads of a run, and the purpose of each file."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.schemas.resources import RunResource


@dataclass(frozen=True)
class Download:
    """A file: its name, address and purpose, and whether a click saves it."""

    name: str
    href: str
    use: str
    is_download: bool = False


def downloads(run: RunResource) -> tuple[Download, ...]:
    """Return the files of a run that has ended with a report; none for other runs."""
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
        Download("histogram", f"{base}/histogram", "response times for the plotter of HdrHistogram"),
    )
    records = (
        Download("connections.csv", f"{base}/connections.csv", "one line per connection, for a spreadsheet", True),
        Download("connections.json", f"{base}/connections", "the same for scripts"),
        Download("log", f"{base}/log", "what each client did, in the article's format"),
        Download("trace.json", f"{base}/trace", "every connection and worker, for Perfetto (ui.perfetto.dev)", True),
        Download("timeline.svg", f"{base}/charts/timeline.svg", "the timeline, for a slide"),
        Download("lanes.svg", f"{base}/charts/lanes.svg", "the worker lanes"),
    )
    has_records = run.imported_from is None or run.imported_from.has_records
    return (*whole, *report, *(records if has_records else ()))
