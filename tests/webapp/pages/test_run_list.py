"""The list of runs: content of its rows, order, filter, and the deletion of selected runs."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from coreserver.reports.schema.verdict_shape import Verdict, VerdictReason
from tests.support.fake_lab import FakeLab, article_connections
from tests.support.page_reader import Element, read, see, value_of
from webapp.problems import FieldError, Invalid


def invalid_run(lab: FakeLab, label: str = "broken") -> int:
    verdict = Verdict(
        status="invalid", reasons=[VerdictReason(code="corrupted", severity="invalid", detail="wrong bytes")]
    )
    lab.add_server()
    return lab.add_run(label=label, connections=article_connections(), verdict=verdict, server_id=1).id


def headings(page: Element) -> dict[str, Element]:
    return {heading.text.rstrip(" ↑↓"): heading for heading in page.one("thead").all("th")}


def test_row_has_sortable_figures_and_note(visitor: TestClient, lab: FakeLab) -> None:
    note = "why it was made\nand more"
    lab.add_run(label="noted", connections=article_connections(), note=note, response_p50_ms=12.5)
    lab.add_run(note="w" * 300)
    long, short = (row.text for row in see(visitor, "/runs").one("tbody").all("tr"))
    assert "why it was made" in short
    assert "and more" not in short
    assert "12.5 ms —" in short
    assert "w" * 119 + "…" in long


@pytest.mark.parametrize("path", ["/", "/runs", "/runs/1", "/servers/1"])
def test_invalid_run_is_marked_everywhere(visitor: TestClient, lab: FakeLab, path: str) -> None:
    invalid_run(lab)
    marks = [mark for mark in see(visitor, path).all("span") if "mark--warns" in mark.attributes.get("class", "")]
    assert [mark.text for mark in marks] == ["invalid"]
    assert marks[0].one("svg").attributes["aria-hidden"] == "true"


def test_heading_sorts_in_both_directions(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_run()
    page = see(visitor, "/runs?label=&model=external&cursor=")
    assert headings(page)["created"].attributes["aria-sort"] == "descending"
    assert headings(page)["created"].one("a").attributes["href"] == "/runs?model=external&sort=created_at"
    page = see(visitor, headings(page)["p99 response"].one("a").attributes["href"])
    assert headings(page)["p99 response"].attributes["aria-sort"] == "ascending"
    assert (value_of(page, "sort"), value_of(page, "model")) == ("response_p99_ms", "external")
    page = see(visitor, headings(page)["p99 response"].one("a").attributes["href"])
    assert headings(page)["p99 response"].attributes["aria-sort"] == "descending"


def test_later_pages_link_to_the_first(visitor: TestClient, lab: FakeLab) -> None:
    for _ in range(3):
        lab.add_run("failed")
    page = see(visitor, "/runs?state=failed&limit=2")
    assert not page.all("a", href="/runs?state=failed&limit=2")
    [older] = page.all("a", rel="next")
    page = see(visitor, older.attributes["href"])
    assert [row.one("th").text for row in page.one("tbody").all("tr")] == ["1"]
    [first] = [link for link in page.all("a") if link.text == "First page"]
    assert first.attributes["href"] == "/runs?state=failed&limit=2"


def test_bad_cursor_is_reported(visitor: TestClient, lab: FakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise Invalid("cursor", errors=[FieldError("cursor", "is not a cursor of this list")])

    monkeypatch.setattr(lab.runs, "find", refuse)
    page = see(visitor, "/runs?cursor=x", 422)
    assert page.one(role="alert").text == "cursor: is not a cursor of this list. Show all runs"


def test_runs_are_filtered_by_server(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_server(name="pool")
    page = see(visitor, "/runs?server_id=1")
    assert [option.text for option in page.one(id="server_id").all("option")] == ["any", "pool"]
    assert value_of(page, "server_id") == "1"
    assert value_of(see(visitor, "/runs?server_id=7"), "server_id") == "7"  # deleted since


# --- selected runs ---------------------------------------------------------------------------------------------------


def test_tick_boxes_belong_to_the_form(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_run()
    page = see(visitor, "/runs")
    box = page.one("input", type="checkbox")
    assert box.attributes | {"name": "run", "value": "1", "form": "ticked"} == box.attributes
    form = page.one("form", id="ticked")
    assert (form.attributes["method"], form.attributes["action"]) == ("get", "/compare")
    assert [button.attributes.get("formaction") for button in form.all("button")] == [None, "/runs/delete"]


def test_deletion_is_confirmed(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_run(label="old")
    lab.add_run("running", label="busy")
    page = see(visitor, "/runs/delete?run=1&run=2&run=9&run=1")
    assert "Already deleted: run 9." in page.text
    assert "cancel them first: run 2 busy (running)" in page.text
    assert [box.attributes["value"] for box in page.all("input", name="run")] == ["1"]
    assert page.one("button").text == "Delete 1 run permanently"
    assert len(lab.all_runs) == 2


def test_refused_deletions_are_listed(visitor: TestClient, lab: FakeLab) -> None:
    for label in ("first", "second"):
        lab.add_run(label=label)
    lab.add_run("running")
    answer = visitor.post("/runs/delete", data={"run": ["1", "3", "2", "8"]})
    page = read(answer.text)
    assert answer.status_code == 409
    assert page.one(role="alert").text == (
        "run 3 was not deleted it is still running; cancel it first run 8 was not deleted there is no such run"
    )
    assert [item.text for item in page.one("main").all("ul")[1].all("li")] == ["run 1 first", "run 2 second"]
    assert [*lab.all_runs] == [3]


def test_deleted_runs_are_named(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_run(label="only")
    answer = visitor.post("/runs/delete", data={"run": "1"})
    assert answer.status_code == 200
    assert "Deleted: run 1 only" in read(answer.text).text


@pytest.mark.parametrize("query", ["", "run=x", "run=0", "run=99999999999999999999", "&".join(["run=%d"] * 501)])
def test_bad_ticks_are_refused(visitor: TestClient, query: str) -> None:
    query = query % tuple(range(1, query.count("%") + 1))
    assert visitor.get(f"/runs/delete?{query}").status_code == 422
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert visitor.post("/runs/delete", content=query, headers=form).status_code == 422
