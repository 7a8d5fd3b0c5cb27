"""JSON shape of a comparison of runs: the comparison of `coreserver`, with links."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from coreserver.reports import comparison
from coreserver.reports.schema.report import Report


class Comparison(comparison.RunComparison):
    """Runs side by side, with links; the first run is the baseline."""

    links: dict[str, str]


def compare(reports: Sequence[Report]) -> Comparison:
    """Compare at least two reports, in this order."""
    found = comparison.compare(reports)
    parts = {name: getattr(found, name) for name in comparison.RunComparison.model_fields}
    return Comparison(**parts, links=_links(run.id for run in found.runs))


def _links(run_ids: Iterable[int]) -> dict[str, str]:
    query = "&".join(f"run={run_id}" for run_id in run_ids)
    api = "/api/v1/compare"
    percentiles = f"{api}/charts/percentiles.json?{query}"
    return {"self": f"{api}?{query}", "page": f"/compare?{query}", "chart_percentiles": percentiles}
