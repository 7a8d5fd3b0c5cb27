"""Charts are valid specs with the figures of the report, without percentiles that the samples do not support."""

from __future__ import annotations

import json
from typing import Any

import altair as alt
import pytest

from coreserver.records.client import ClientOutcome
from coreserver.records.joined import JoinedConnection
from coreserver.reports.schema.definitions import PERCENTILES
from coreserver.reports.schema.figures import Window
from coreserver.reports.schema.report import Report
from tests.support.made_records import client, pool_of_two
from tests.support.made_reports import report_of, samples, visitors
from webapp.charts import CHARTS
from webapp.charts.theme import DARK, MIN_MS

MAX_BYTES = 300_000


@pytest.fixture(scope="module")
def busy() -> Report:
    """Return the report of two groups with 3,000 messages and of a sampled server."""
    connections = [*visitors(2000), *visitors(1000, group="guests", every_ms=2.0, seed=2)]
    return report_of(connections, groups=("visitors", "guests"), samples=samples(30))


@pytest.fixture(scope="module")
def few() -> Report:
    """Return the report of the article's three clients."""
    return report_of(pool_of_two(), ended_ms=4400, groups=("script",))


@pytest.fixture(scope="module")
def nothing() -> Report:
    """Return the report of a run that ended before any client was due."""
    return report_of([], ended_ms=200)


def spec_of(name: str, report: Report) -> dict[str, Any]:
    spec = CHARTS[name].spec(report)
    assert spec is not None
    return spec


def with_rows(report: Report, rows: list[list[int | float | None]]) -> Report:
    return report.model_copy(update={"series": report.series.model_copy(update={"rows": rows})})


@pytest.mark.parametrize("name", CHARTS)
def test_spec_is_valid_and_small(busy: Report, name: str) -> None:
    spec = spec_of(name, busy)
    assert len(json.dumps(spec)) < MAX_BYTES
    alt.Chart.from_dict({**spec, "datasets": {key: list(rows)[:2] for key, rows in spec["datasets"].items()}})


@pytest.mark.parametrize("name", CHARTS)
def test_every_colour_has_a_dark_one(busy: Report, name: str) -> None:
    text = json.dumps({**spec_of(name, busy), "usermeta": {}})
    colours = {text[k : k + 7] for k in range(len(text)) if text[k] == "#"}
    assert colours <= set(DARK)


@pytest.mark.parametrize("name", CHARTS)
def test_chart_has_a_sentence_and_a_table(busy: Report, name: str) -> None:
    chart = CHARTS[name]
    table = chart.rows(busy)
    assert chart.summary(busy).endswith(".")
    assert table.rows
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert len(table.rows) <= 30


@pytest.mark.parametrize("name", CHARTS)
def test_missing_chart_says_why(nothing: Report, name: str) -> None:
    chart = CHARTS[name]
    if chart.spec(nothing) is None:
        assert chart.summary(nothing) == chart.missing(nothing) != ""
        assert chart.rows(nothing).rows == ()


def test_run_without_messages_has_no_charts(nothing: Report) -> None:
    assert all(CHARTS[name].spec(nothing) is None for name in CHARTS)


def test_unstarted_run_has_nothing_over_time() -> None:
    never = JoinedConnection(client(connect=None, outcome=ClientOutcome.NOT_STARTED), None)
    assert CHARTS["load"].missing(report_of([never], ended_ms=50)) == "No client was greeted during the run."


def test_few_messages_have_no_curve_or_map(few: Report) -> None:
    assert "3 answered messages are too few" in CHARTS["percentiles"].summary(few)
    assert "too few" in CHARTS["heatmap"].summary(few)
    assert "one group" in CHARTS["groups"].summary(few)


# --- percentiles -----------------------------------------------------------------------------------------------------


def test_curve_contains_reported_percentiles(busy: Report) -> None:
    points = {point["inverse"]: point for point in spec_of("percentiles", busy)["datasets"]["points"]}
    for name, per_mille in PERCENTILES.items():
        for field, of in (("response_ms", "response_ms"), ("round_trip_ms", "round_trip_ms")):
            if (known := getattr(busy.latency, of).value(name)) is not None:
                assert points[1000 / (1000 - per_mille)][field] == pytest.approx(known, rel=2e-3, abs=2 * MIN_MS)


def test_curve_ends_ten_samples_early(busy: Report) -> None:
    last = spec_of("percentiles", busy)["datasets"]["points"][-1]
    assert last["inverse"] == busy.latency.response_ms.count / 10 == 300
    assert "99.9" not in str(CHARTS["percentiles"].rows(busy))


# --- waits -----------------------------------------------------------------------------------------------------------


def test_bars_are_means_end_to_end(busy: Report) -> None:
    bars = spec_of("waits", busy)["datasets"]["bars"]
    whole = [bar for bar in bars if bar["name"] == "all"]
    means = [getattr(busy.waits, f"{part}_ms").mean for part in ("connect", "backlog", "queue", "greeting", "session")]
    assert [bar["to_ms"] - bar["from_ms"] for bar in whole] == pytest.approx(means)
    assert [bar["from_ms"] for bar in whole[1:]] == pytest.approx([bar["to_ms"] for bar in whole[:-1]])
    assert {bar["name"] for bar in bars} == {"all", "visitors", "guests"}


def test_lateness_is_shown_separately(few: Report) -> None:
    data = spec_of("waits", few)["datasets"]
    assert "lateness" in {span["name"] for span in data["spans"]}
    assert "lateness" not in {bar["part"] for bar in data["bars"]}
    assert all(span["ms"] >= MIN_MS for span in data["spans"])  # a logarithmic axis has no 0


# --- over time -------------------------------------------------------------------------------------------------------


def test_steps_keep_messages_and_peaks(busy: Report) -> None:
    long = with_rows(busy, busy.series.rows * 40)
    steps = spec_of("load", long)["datasets"]["steps"]
    series: dict[str, list[Any]] = {name: long.series.column(name) for name in long.series.columns}
    step_s = 0.1 * -(-len(series["t_s"]) // 120)
    assert 60 < len(steps) <= 120
    assert sum(step["answered_per_s"] for step in steps) * step_s == pytest.approx(sum(series["messages_answered"]))
    for name in ("in_flight", "queue_depth", "threads_alive"):
        assert max(step[name] for step in steps) == max(value for value in series[name] if value is not None)


def test_unsampled_server_has_no_panels(few: Report) -> None:
    assert len(spec_of("load", few)["vconcat"]) == 2
    assert "not sampled" in CHARTS["load"].summary(few)


def test_single_step_is_drawn_as_points(few: Report) -> None:
    short = with_rows(few, few.series.rows[:1])
    assert {panel["layer"][1]["mark"]["point"] for panel in spec_of("load", short)["vconcat"]} == {True}
    assert {panel["layer"][1]["mark"]["point"] for panel in spec_of("load", few)["vconcat"]} == {False}


def test_time_outside_of_window_is_shaded(busy: Report) -> None:
    report = busy.model_copy(update={"window": Window(from_s=0.5, until_s=2.0)})
    data = spec_of("load", report)["datasets"]
    assert data["outside"] == [{"t_s": 0.0, "to_s": 0.5}, {"t_s": 2.0, "to_s": data["steps"][-1]["t_s"]}]


# --- the heat map ----------------------------------------------------------------------------------------------------


def test_map_contains_every_message_once(busy: Report) -> None:
    cells = spec_of("heatmap", busy)["datasets"]["cells"]
    assert sum(cell["messages"] for cell in cells) == busy.latency.response_ms.count
    slowest = max(cell["to_ms"] for cell in cells)
    longest_ms = busy.latency.response_ms.max or 0.0
    assert longest_ms <= slowest <= 1.3 * longest_ms


# --- groups ----------------------------------------------------------------------------------------------------------


def test_groups_have_their_percentiles(busy: Report) -> None:
    signs = spec_of("groups", busy)["datasets"]["signs"]
    medians = {sign["name"]: sign["ms"] for sign in signs if sign["figure"] == "median"}
    assert medians == {group.name: group.latency.response_ms.p50 for group in busy.groups}


def test_warm_up_has_no_slowest_message(busy: Report) -> None:
    columns = busy.series.columns
    rows = [list(row) for row in busy.series.rows]
    rows[2][columns.index("response_max_ms")] = 9e6
    rows[9][columns.index("response_max_ms")] = 8e6
    report = with_rows(busy, rows).model_copy(update={"window": Window(from_s=0.5, until_s=2.0)})
    assert "0.900" in CHARTS["heatmap"].summary(report)
