"""The page of a comparison: runs, settings, figures, timelines, and the links to it."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from coreserver.records.joined import JoinedConnection
from coreserver.reports.schema.report import Report
from coreserver.reports.schema.verdict_shape import Verdict, VerdictReason
from tests.support.fake_lab import FakeLab, article_connections
from tests.support.page_reader import Element, see
from webapp.pages.compare import MINUS


@pytest.fixture
def two(lab: FakeLab) -> FakeLab:
    """The article's clients against a pool of two and a pool of three."""
    lab.add_run(label="two workers", connections=article_connections(2))
    lab.add_run(label="three workers", connections=article_connections(3))
    lab.all_runs[2].config["server"]["workers"] = 3
    return lab


def row(table: Element, heading: str) -> list[str]:
    """Return the cells of the row with this heading, with ASCII signs."""
    [found] = [row for row in table.all("tr") if row.all("th") and row.all("th")[0].text.startswith(heading)]
    return [cell.text.replace(MINUS, "-") for cell in found.all("td")]


def test_sections_are_in_reading_order(visitor: TestClient, two: FakeLab) -> None:
    page = see(visitor, "/compare?run=1&run=2")
    assert [heading.text for heading in page.all("h2")] == [
        "The runs", "What differs", "Figures", "Timelines", "Response time by percentile",
        "Repeat this comparison from a script",
    ]  # fmt: skip
    assert page.one("head").one("title").text == "Compare runs 1, 2 · Serverlab"


def test_equal_settings_are_folded(visitor: TestClient, two: FakeLab) -> None:
    page = see(visitor, "/compare?run=1&run=2")
    differs = page.one(aria_label="Table: What differs")
    assert row(differs, "server.workers") == ["2", "≠ 3"]
    same = page.one(aria_label="Table: Same settings")
    assert row(same, "server.model") == ["bounded_pool", "bounded_pool"]
    folds = [details for details in page.all("details") if same in details.all()]
    assert ["open" in details.attributes for details in folds] == [False]


def test_figures_have_distances_and_words(visitor: TestClient, two: FakeLab) -> None:
    figures = see(visitor, "/compare?run=1&run=2").one(aria_label="Table: Figures")
    assert row(figures, "duration") == ["4.40 s", "2.20 s -2.20 s (-50 %) better"]
    assert row(figures, "peak in service") == ["2", "3 +1 (+50 %) more"]
    assert row(figures, "connections completed") == ["3", "3 same"]
    turned = see(visitor, "/compare?run=2&run=1").one(aria_label="Table: Figures")
    assert row(turned, "duration") == ["2.20 s", "4.40 s +2.20 s (+100 %) worse"]


def test_empty_figures_share_a_line(visitor: TestClient, two: FakeLab) -> None:
    figures = see(visitor, "/compare?run=1&run=2").one(aria_label="Table: Figures")
    told = [cell.text for cell in figures.all("td", class_="compare__left-out")]
    assert any(text.startswith("too few samples in every run: response time, median, ") for text in told)
    assert any(text.startswith("0 in every run: failed connections, refused, reset, timed out") for text in told)


def test_runs_can_be_baseline_or_left_out(visitor: TestClient, two: FakeLab) -> None:
    two.add_run(connections=article_connections())
    page = see(visitor, "/compare?run=1&run=2&run=3&run=2")
    links = {link.text: link.attributes["href"] for link in page.all("a")}
    assert links["make run 3 the baseline"] == "/compare?run=3&run=1&run=2"
    assert links["remove run 1"] == "/compare?run=2&run=3"
    assert "make run 1 the baseline" not in links
    assert "remove run 1" not in see(visitor, "/compare?run=1&run=2").text
    assert [box.attributes.get("value") for box in page.all("input", name="run")] == ["1", "2", "3", None]


def test_invalid_run_is_marked_everywhere(visitor: TestClient, two: FakeLab) -> None:
    reason = VerdictReason(code="corrupted", severity="invalid", detail="wrong bytes")
    verdict = Verdict(status="invalid", reasons=[reason])
    report = two.results.report

    def spoilt(run_id: int) -> Report:
        return report(run_id).model_copy(update={"verdict": verdict} if run_id == 2 else {})

    two.results.report = spoilt  # type: ignore[method-assign]
    two.all_runs[2] = two.all_runs[2].model_copy(update={"verdict": verdict})
    page = see(visitor, "/compare?run=1&run=2")
    notices = page.one("ul", aria_label="Warnings about this comparison").text
    assert "run 2 is invalid (corrupted): its figures are not reliable" in notices
    marks = [mark for mark in page.all("span") if "mark--warns" in mark.attributes.get("class", "")]
    assert len(marks) >= 4  # its card, two tables' headings, its timeline
    assert row(page.one(aria_label="Table: Figures"), "duration")[1] == "2.20 s -2.20 s (-50 %) less"


def test_imported_run_is_marked(visitor: TestClient, two: FakeLab) -> None:
    two.all_runs[2] = two.all_runs[2].model_copy(update={"imported": True})
    [mark] = see(visitor, "/compare?run=1&run=2").all("span", class_="origin")
    assert mark.text == "imported"


def test_timelines_share_one_axis(visitor: TestClient, two: FakeLab) -> None:
    two.joined[2] = article_connections(3, name="somebody-with-a-long-name-")
    drawings = [figure for figure in see(visitor, "/compare?run=1&run=2").all("figure") if figure.all("svg")]
    assert [figure.attributes["aria-label"] for figure in drawings] == ["Timeline of run 1", "Timeline of run 2"]
    for width in (0, 1):
        axes = [
            [(tick.text, tick.attributes["x"]) for tick in figure.all("svg")[width].all("text", class_="tl-tick")]
            for figure in drawings
        ]
        assert axes[0] == axes[1]
        assert len(axes[0]) > 2


def test_large_timelines_are_drawn_on_request(
    visitor: TestClient, two: FakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.pages.compare.MAX_DRAWN", 5)
    page = see(visitor, "/compare?run=1&run=2")
    assert not page.all("svg", class_="timeline timeline--rows")
    part = page.one(id="timeline-drawings")
    assert part.text == "Draw the timelines of 6 connections ; this takes several seconds."
    page = see(visitor, part.attributes["data-later"])
    assert len(page.all("svg", class_="timeline timeline--rows")) == 4  # one wide and one narrow drawing per run
    assert "data-later" not in page.one(id="timeline-drawings").attributes


def test_curve_needs_enough_messages(visitor: TestClient, two: FakeLab) -> None:
    page = see(visitor, "/compare?run=1&run=2")
    assert not page.all("figure", class_="chart chart--percentiles")
    assert "No run has the 20 answered messages that a curve needs." in page.text
    many: list[JoinedConnection] = article_connections(4, clients=12)
    two.add_run(label="many", connections=many)
    page = see(visitor, "/compare?run=1&run=3")
    [chart] = page.all("figure", class_="chart chart--percentiles")
    assert chart.attributes["data-chart"] == "/api/v1/compare/charts/percentiles.json?run=1&run=3"
    assert "Too few messages for a curve: run 1." in page.text
    files = [link.attributes["href"] for link in page.all("a") if link.text in ("SVG", "PNG", "JSON")]
    assert files == [f"/api/v1/compare/charts/percentiles.{form}?run=1&run=3" for form in ("svg", "png", "json")]
    spec = visitor.get(chart.attributes["data-chart"]).json()
    assert spec["encoding"]["color"]["scale"]["domain"] == ["run 3"]
    table = page.one(aria_label="Table: Response time by percentile")
    assert row(table, "median")[0] == "too few samples"
    assert visitor.get("/api/v1/compare/charts/percentiles.json?run=1&run=2").status_code == 404
    assert visitor.get("/api/v1/compare/charts/percentiles.gif?run=1&run=3").status_code == 404


def test_page_has_recipes(visitor: TestClient, two: FakeLab) -> None:
    page = see(visitor, "/compare?run=2&run=1")
    assert page.one(id="text-curl").text == "curl -sS 'http://127.0.0.1:8000/api/v1/compare?run=2&run=1'"
    for key in ("rest", "httpx", "client", "cli"):
        assert "1" in page.one(id=f"text-{key}").text
        assert page.one("button", data_copy=f"text-{key}")


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ("", 422, "select 2 to 8 runs, not none"),
        ("run=1", 422, "select 2 to 8 runs, not 1"),
        ("&".join(f"run={n}" for n in range(1, 10)), 422, "select 2 to 8 runs, not 9"),
        ("run=1&run=x", 422, "must be the id of a run"),
        ("run=1&run=9", 404, "there is no such run"),
        ("run=1&run=3", 409, "it ended without a report; leave it out of the comparison"),
    ],
)
def test_refused_comparison_has_a_page(visitor: TestClient, two: FakeLab, query: str, status: int, says: str) -> None:
    two.add_run("failed")
    page = see(visitor, f"/compare?{query}", status)
    assert says in page.one("main").text
    assert page.one("main").all("a", href="/runs")
