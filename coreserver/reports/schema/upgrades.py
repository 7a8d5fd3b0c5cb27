"""Upgrade reports of earlier versions to the version that this program writes.

The rule for `SCHEMA_VERSION`: every change of the shape of a report raises it, an added figure included. Shapes are
closed: without a new version, an older program could only say that it does not know a field.

- An added figure is optional, with a default that means "not measured". The version rises; no function is needed.
- Any other change (a field renamed, removed, moved or given another meaning) also needs a function here that takes the
  version before it to the version after it, registered in `STEPS`.
- A function, and the column lists and names in it, never change once a program with that version has written reports.
  For this reason they are written out here and not imported from the current schema.
- One report of every version is kept in `tests/data/reports`; tests open each of them wherever reports are shown, and
  fail if the schema has another shape than the kept report of its version. `python -m tests.support.golden` writes it.

Version 1 was written in five shapes, because fields were added to it without raising the version. Each shape has a
function of its own below, which recognises the shape by the field that is missing.

The functions are pure: they return a new document and share the unchanged parts with the old one. They run before
validation, on files of any origin, so a part that is missing or has another type is left for validation to report.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from coreserver.errors import ReportTooNew
from coreserver.reports.schema.definitions import SCHEMA_VERSION

Document = Mapping[str, Any]
Step = Callable[[Document], Document]

MAX_INTERVAL_S = 3600.0
_PLAIN_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,40}", re.ASCII)  # untrusted: messages repeat no other text


def upgrade(report: Document) -> dict[str, Any]:
    """Return the report in the shape of `SCHEMA_VERSION`; the report itself stays unchanged.

    Raises:
        ReportTooNew: a newer program wrote it.
    """
    version = report.get("schema_version")
    if type(version) is not int or version < 1:
        return dict(report)
    if version > SCHEMA_VERSION:
        raise ReportTooNew(version, SCHEMA_VERSION, written_by=_written_by(report))
    for earlier in range(version, SCHEMA_VERSION):
        report = {**STEPS.get(earlier, _unchanged)(report), "schema_version": earlier + 1}
    return dict(report)


def _written_by(report: Document) -> str | None:
    versions = _part(report, "environment", "versions")
    version = None if versions is None else versions.get("serverlab")
    return version if isinstance(version, str) and _PLAIN_VERSION.fullmatch(version) else None


def _unchanged(report: Document) -> Document:
    return report


# --- version 1 -------------------------------------------------------------------------------------------------------

# The columns of the series in the first two shapes, in the next two, and in the last one.
_COLUMNS_1A = (
    *("t_s", "due", "started", "completed", "failed", "in_flight", "in_service", "waiting"),
    *("threads_alive", "threads_busy", "queue_depth", "accept_queue", "cpu_percent", "rss_bytes"),
)
_COLUMNS_1C = (
    *_COLUMNS_1A[:8],
    *("messages_due", "messages_sent", "messages_answered", "messages_in_flight"),
    *("response_p50_ms", "response_p99_ms", "response_max_ms"),
    *_COLUMNS_1A[8:],
)
_COLUMNS_1E = (*_COLUMNS_1C, "listen_overflows")


def add_client_processes(report: Document) -> Document:
    """Shape 1a to 1b: the number of client processes and their CPUs in `run.config`; null means "chosen by the lab"."""
    return _with_defaults(report, ("run", "config"), client_processes=None, client_cpus=None)


def add_measured_windows(report: Document) -> Document:
    """Shape 1b to 1c: warm-up, measured windows, histograms per interval, messages in the series, theory.

    Programs before 1c excluded no warm-up, so its counts are 0. The windows, the hash of the schedule and the theory
    were not recorded. One interval as long as the run holds the histogram of all responses.
    """
    report = _with_defaults(report, (), window=None, theory=None)
    report = _with_defaults(report, ("run",), schedule_sha256=None)
    report = _with_defaults(report, ("totals",), warm_up=_no_warm_up())
    if isinstance(groups := report.get("groups"), list):
        report = {**report, "groups": [_with_window(group) for group in groups]}
    if (histograms := _part(report, "histograms")) is not None:
        one = {"interval_s": _length_s(report), "response": [histograms.get("response")]}
        report = _with_defaults(report, ("histograms",), intervals=one)
    return _with_columns(report, _COLUMNS_1A, _COLUMNS_1C)


def add_server_details(report: Document) -> Document:
    """Shape 1c to 1d: `server.details`, facts that are known after the server's start."""
    return _with_defaults(report, ("server",), details={})


def add_listen_overflows(report: Document) -> Document:
    """Shape 1d to 1e: the column `listen_overflows` of the series."""
    return _with_columns(report, _COLUMNS_1C, _COLUMNS_1E)


def finish_version_1(report: Document) -> Document:
    """Return a report of version 1 in its last shape, which is the shape of version 2."""
    for step in (add_client_processes, add_measured_windows, add_server_details, add_listen_overflows):
        report = step(report)
    return report


def _no_warm_up() -> dict[str, int]:
    return {"connections": 0, "messages": 0}


def _with_window(group: Any) -> Any:
    if not isinstance(group, Mapping):
        return group
    return _with_defaults(_with_defaults(group, (), window=None), ("totals",), warm_up=_no_warm_up())


def _length_s(report: Document) -> float:
    """Return the time that the series covers, limited to the longest interval; 1.0 if it is not known."""
    series = _part(report, "series") or {}
    rows, interval_s = series.get("rows"), series.get("interval_s")
    if not isinstance(rows, list) or not rows or not isinstance(interval_s, int | float):
        return 1.0
    return min(len(rows) * float(interval_s), MAX_INTERVAL_S) if 0 < interval_s <= MAX_INTERVAL_S else 1.0


STEPS: Mapping[int, Step] = {1: finish_version_1}  # version -> the function that takes it to the next one


# --- parts of documents ----------------------------------------------------------------------------------------------


def _part(document: Any, *path: str) -> Document | None:
    """Return the object at this path, or None."""
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document if isinstance(document, Mapping) else None


def _with_defaults(document: Document, path: tuple[str, ...], **defaults: Any) -> Document:
    """Return the document with these fields added to the object at `path`, except those that it already has."""
    if not path:
        return {**defaults, **document}
    first, *rest = path
    part = document.get(first)
    if not isinstance(part, Mapping):
        return document
    return {**document, first: _with_defaults(part, tuple(rest), **defaults)}


def _with_columns(report: Document, before: Sequence[str], after: Sequence[str]) -> Document:
    """Return the report with its series extended from exactly the columns `before` to `after`; new cells are null."""
    series = _part(report, "series")
    if series is None or series.get("columns") != list(before) or not isinstance(series.get("rows"), list):
        return report
    place = {name: k for k, name in enumerate(before)}
    sources = [place.get(name) for name in after]
    rows = [
        [None if k is None else row[k] for k in sources] if isinstance(row, list) and len(row) == len(before) else row
        for row in series["rows"]
    ]
    return {**report, "series": {**series, "columns": list(after), "rows": rows}}
