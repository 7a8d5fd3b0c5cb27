"""What every chart ends with: a rule that follows the pointer, title, description, look, and a plain dict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from webapp.charts.chart import Report
from webapp.charts.look import CONFIG, DARK, LEFT, RIGHT, SOFT, WIDTH, Spec

AnyChart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.VConcatChart


def finished(chart: AnyChart, *, title: str, subtitle: str | Sequence[str], description: str, left: int = LEFT) -> Spec:
    """The spec of a chart whose plots are `WIDTH` wide, with its own title for when it leaves the page.

    Args:
        left: what stands at the left of the plots, in pixels.
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
    }


def run_title(report: Report) -> str:
    """Which run a picture is of."""
    run = report["run"]
    return f"Run {run['id']}" + (f": {run['label']}" if run["label"] else "") + f", {report['server']['model']}"


def following_rule(base: alt.Chart, x: Any, field: str, shown: Sequence[str]) -> alt.Chart:
    """A rule at the row nearest to the pointer, with a tooltip; charts one above the other share its place.

    Args:
        field: which is the row's place on the axis.
        shown: the row's fields in the tooltip, as text.
    """
    near = alt.selection_point(
        name="near", nearest=True, on="pointermove", clear="pointerout", fields=[field], empty=False
    )
    rule: alt.Chart = (
        base.mark_rule(color=SOFT)
        .encode(
            x=x,
            opacity=alt.when(near).then(alt.value(0.8)).otherwise(alt.value(0)),
            tooltip=[alt.Tooltip(f"{name}:N", title=name) for name in shown],
        )
        .add_params(near)
    )
    return rule
