"""The downloadable files of a run."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.schemas.resources import RunResource


@dataclass(frozen=True)
class Download:
    """One file of a run.

    `use` describes its purpose. `is_download`: a click saves the file instead of opening it.
    """

    name: str
    href: str
    use: str
    is_download: bool = False


def downloads(run: RunResource) -> tuple[Download, ...]:
    """Return the files of a run; none if it has not ended with a report.

    Files made from the records are omitted for a run that was imported without them.
    """
    if not run.is_over or run.verdict is None:
        return ()
    base = f"/api/v1/runs/{run.id}"
    whole = (Download("report.json", f"{base}/report.json", "the whole run; any lab can import it", is_download=True),)
    report = (
        Download("report.html", f"{base}/report.html", "this page as one file that opens offline", True),
        Download("report", f"{base}/report", "the figures as JSON, with a published JSON Schema"),
        Download("histogram", f"{base}/histogram", "response times for the HdrHistogram plotter"),
    )
    records = (
        Download("connections.csv", f"{base}/connections.csv", "one line per connection, for a spreadsheet", True),
        Download("connections.json", f"{base}/connections", "the same as JSON"),
        Download("log", f"{base}/log", "steps of each script client, in the article's format"),
        Download("trace.json", f"{base}/trace", "all connections and workers, for Perfetto (ui.perfetto.dev)", True),
        Download("timeline.svg", f"{base}/charts/timeline.svg", "the timeline as a picture"),
        Download("lanes.svg", f"{base}/charts/lanes.svg", "the worker lanes as a picture"),
    )
    has_records = run.imported_from is None or run.imported_from.has_records
    return (*whole, *report, *(records if has_records else ()))
