"""Parts that all charts share: named data, a rule that follows the pointer, and the conversion to a spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import altair as alt
from altair.utils import schemapi

from coreserver.reports.schema.report import Report
from webapp.charts.theme import CONFIG, DARK, LEFT, RIGHT, SOFT, WIDTH, Spec

AnyChart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.VConcatChart
Rows = Sequence[Mapping[str, Any]]
STRIPS = "strips-"

# Tests check whole specs against the schema; checking every piece of a chart again takes 0.1 s per chart.
schemapi.disable_debug_mode()


class Pointer:
    """The row under the pointer: a rule that all panels of a chart share, and its tooltip.

    Invisible strips catch the pointer, because the nearest-row selection of this Vega-Lite loses the tooltip's values.

    Args:
        field: the place of the row on the axis.
        shown: labels of the tooltip, by the field that has the value as text.
    """

    def __init__(self, field: str, shown: Mapping[str, str]) -> None:
        self._field, self._shown = field, shown
        self._charts = 0

    def strips(self, rows: Rows) -> list[dict[str, Any]]:
        """Return the rows, each with the part of the axis that is nearer to it than to others."""
        places = [row[self._field] for row in rows]
        edges = [places[0], *((a + b) / 2 for a, b in pairwise(places)), places[-1]]
        return [{**row, "left": left, "right": right} for row, (left, right) in zip(rows, pairwise(edges), strict=True)]

    def rule(self, base: alt.Chart, x: alt.X) -> list[alt.Chart]:
        """Return the rule and the strips on top of it, for one panel."""
        self._charts += 1
        strip = base.mark_rect(opacity=0).encode(
            x=alt.X("left:Q", title=x["title"]),
            x2=alt.X2("right:Q"),
            tooltip=[alt.Tooltip(f"{name}:N", title=words) for name, words in self._shown.items()],
        )
        shows = alt.OpacityValue(0, condition={"param": "near", "empty": False, "value": 0.8})
        return [base.mark_rule(color=SOFT).encode(x=x, opacity=shows), strip.properties(name=f"{STRIPS}{self._charts}")]

    def params(self, spec: Spec) -> list[dict[str, Any]]:
        """Return the parameters of the whole spec; Altair has renamed the views."""
        near = {"type": "point", "on": "pointerover", "clear": "pointerout", "fields": [self._field]}
        return [{"name": "near", "select": near, "views": _strips(spec)}]


def _strips(view: Spec) -> list[str]:
    own = [view["name"]] if view.get("name", "").startswith(STRIPS) else []
    return own + [name for part in [*view.get("vconcat", []), *view.get("layer", [])] for name in _strips(part)]


def finish_spec(
    chart: AnyChart,
    data: Mapping[str, Rows],
    *,
    title: str,
    subtitle: str | Sequence[str],
    description: str,
    left: int = LEFT,
    pointer: Pointer | None = None,
) -> Spec:
    """Convert a chart whose plots are `WIDTH` wide to a spec, with a title for use outside of the page.

    Args:
        data: the rows of each `alt.NamedData` of the chart.
        left: pixels left of the plots.
    """
    spec: Spec = chart.to_dict(validate=False)
    title_of = {"text": title, "subtitle": subtitle, "fontSize": 16, "subtitleFontSize": 12, "offset": 14}
    return {
        **spec,
        "title": title_of,
        "description": description,
        "background": "transparent",
        "padding": {"left": 2, "right": RIGHT, "top": 4, "bottom": 4},
        "config": CONFIG,
        "usermeta": {"width": WIDTH, "beside": left + RIGHT + 2, "dark": DARK},
        **({"params": pointer.params(spec)} if pointer else {}),
        "datasets": data,
    }


def named_data(name: str) -> alt.Chart:
    """Return a chart without data, which refers to rows of `finish_spec` by name; Altair copies data at every step."""
    return alt.Chart(alt.NamedData(name=name))


def run_title(report: Report) -> str:
    """Return the title of a run in charts."""
    run = report.run
    return f"Run {run.id}" + (f": {run.label}" if run.label else "") + f", {report.server.model}"
