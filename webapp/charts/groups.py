"""Response times of the client groups side by side."""

from __future__ import annotations

from coreserver.reports.schema.figures import Statistics
from coreserver.reports.schema.report import Report
from webapp import formatting
from webapp.charts.base import Table
from webapp.charts.percentile_rows import LABELS, NAMED_LEFT, spread, spread_data, spread_rows
from webapp.charts.spec import finish_spec, run_title
from webapp.charts.theme import Spec


def missing(report: Report) -> str:
    """Return why there is nothing to compare."""
    if len(report.groups) < 2:
        return "The run has one group of clients; there is nothing to compare."
    return "" if _answered(report) else "No message was answered after the warm-up, so there is nothing to compare."


def spec(report: Report, title: str) -> Spec:
    """Return the chart: one row per group with the range and the percentiles of its response times."""
    answered = _answered(report)
    return finish_spec(
        spread(answered),
        spread_data(answered),
        title=title,
        subtitle=[run_title(report), "response time"],
        description=summary(report),
        left=NAMED_LEFT,
    )


def summary(report: Report) -> str:
    """Return the slowest and the fastest group, by the highest percentile that all of them have."""
    answered = _answered(report)
    name = next(
        (name for name in ("p99", "p90", "p50") if all(s.value(name) is not None for s in answered.values())), "max"
    )
    by_value = sorted((statistics.value(name) or 0.0, group) for group, statistics in answered.items())
    (shortest_ms, best), (longest_ms, worst) = by_value[0], by_value[-1]
    return (
        f"By {LABELS[name]}, “{worst}” has the longest response time with {formatting.ms(longest_ms)}, “{best}” "
        f"the shortest with {formatting.ms(shortest_ms)}."
    )


def rows(report: Report) -> Table:
    """Return the same figures as a table."""
    return spread_rows("group", _answered(report))


def _answered(report: Report) -> dict[str, Statistics]:
    """Return the response times of the groups that have any."""
    found = {group.name: group.latency.response_ms for group in report.groups}
    return {name: stats for name, stats in found.items() if stats.count}
