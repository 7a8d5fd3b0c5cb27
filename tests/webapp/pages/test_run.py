"""The page of a run while it is queued, while it runs and after its end, with its forms."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from coreserver.reports.schema.verdict_shape import Verdict, VerdictReason
from tests.support.fake_lab import FakeLab, article_connections
from tests.support.page_reader import problem_beside, read, see, value_of
from webapp.schemas.resources import Reason
from webapp.schemas.run_progress import RunError, RunProgress, RunStage


def test_run_starts_with_its_headline(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_run(label="article", connections=article_connections())
    page = see(visitor, "/runs/1")
    assert page.one("head").one("title").text == "Run 1 completed: article · Serverlab"
    assert "2 of 3 clients were served at once; conn3 waited 2.2 s for a worker." in page.text
    assert "peak in service 2" in page.text
    assert "connections completed 3 of 3" in page.text
    assert "conn1 connected..." in page.text
    assert page.all("svg", role="img")
    words = [cell.text for cell in page.all("td") if cell.attributes.get("colspan")]
    assert words
    assert set(words) == {"too few samples"}
    assert page.all("a", href="/api/v1/runs/1/report")


def test_warm_up_is_counted(visitor: TestClient, lab: FakeLab) -> None:
    connections = article_connections()
    lab.add_run(connections=connections)
    assert "warm-up" not in see(visitor, "/runs/1").text
    connections[0].client.measured_from_ns = connections[0].client.due_ns + 1
    lab.add_run(connections=connections)
    text = see(visitor, "/runs/2").text
    assert "in the warm-up (excluded from latency and waits) connections in the warm-up 1" in text


def test_running_run_shows_progress(visitor: TestClient, lab: FakeLab) -> None:
    counts = {"due": 0, "connecting": 0, "waiting": 1, "in_service": 2, "completed": 4, "failed": 1}
    lab.add_run("running", progress=RunProgress(elapsed_s=1.5, counts=counts))
    page = see(visitor, "/runs/1")
    shown = {fact.one("dt").text: fact.one("dd").text for fact in page.one("dl").all("div")}
    assert shown["elapsed"].split() == ["1.5", "s"]
    assert (shown["waiting"], shown["in service"], shown["completed"], shown["failed"]) == ("1", "2", "4", "1")
    assert page.one("progress").attributes["value"] == "5"
    assert page.all(data_fragment="runs/1/progress")
    assert visitor.post("/runs/1/cancel").headers["location"] == "/runs/1"
    assert lab.runs.get(1).state == "cancelled"


def test_running_run_shows_phase_and_errors(visitor: TestClient, lab: FakeLab) -> None:
    errors = [RunError(outcome="timed_out", detail="no greeting", count=1200, last_s=1.0)]
    progress = RunProgress(elapsed_s=3.0, counts={}, messages_per_s=12_345.0, errors=errors, errors_untold=7)
    stage = RunStage(phase="finishing", words="Nothing new is begun.", expected_end_s=2.0, is_about=True)
    lab.add_run("running", progress=progress, stage=stage)
    page = see(visitor, "/runs/1")
    assert page.one(data_run_phase="finishing").text == "Nothing new is begun."
    assert page.one(data_figure="expected").text.split() == ["about", "2.0", "s,", "exceeded", "by", "1.0", "s"]
    assert page.one(data_figure="messages_per_s").text.split() == ["12", "345"]
    assert [cell.text for cell in page.all(data_errors="")[0].all("td")][1] == "no greeting"
    assert "and 7 more" in page.one(data_errors_untold="").text


def test_ended_run_has_no_progress(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_run("completed", connections=article_connections())
    assert not see(visitor, "/runs/1").all("progress")


def test_errors_come_first(visitor: TestClient, lab: FakeLab) -> None:
    verdict = Verdict(
        status="invalid",
        reasons=[
            VerdictReason(code="corrupted_replies", severity="invalid", detail="1 reply was wrong"),
            VerdictReason(code="shared_interpreter", severity="note", detail="they share one"),
        ],
    )
    lab.add_run("failed", verdict=verdict, reason=Reason(code="worker_died", detail="it was killed"))
    page = see(visitor, "/runs/1")
    assert page.text.index("worker died it was killed") < page.text.index("corrupted replies 1 reply was wrong")
    assert page.text.index("1 reply was wrong") < page.text.index("What happened")
    assert page.text.index("What happened") < page.text.index("shared interpreter: they share one")


def test_run_has_recipes(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_run(label="article", connections=article_connections())
    page = see(visitor, "/runs/1")
    assert '"workers": 2' in page.one(id="text-body").text
    assert "http://127.0.0.1:8000/api/v1/runs?wait_s=60" in page.one(id="text-curl").text
    assert "httpx.Client(base_url='http://127.0.0.1:8000'" in page.one(id="text-httpx").text
    again = visitor.post("/runs/1/again")
    assert (again.status_code, again.headers["location"]) == (303, "/runs/2")
    assert lab.runs.get(2).config["server"]["workers"] == 2


def test_run_is_changed_and_run(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_run(label="article", connections=article_connections())
    [link] = [link for link in see(visitor, "/runs/1").all("a") if link.text == "Change and run"]
    page = see(visitor, link.attributes["href"])
    assert (value_of(page, "workers"), value_of(page, "clients.0.count"), value_of(page, "run.label")) == (
        "2", "3", "article",
    )  # fmt: skip


def test_label_and_note_are_edited(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_run(label="article", connections=article_connections())
    answer = visitor.post("/runs/1/edit", data={"label": "pool of two", "note": "first\r\nsecond"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/1")
    assert (lab.runs.get(1).label, lab.runs.get(1).note) == ("pool of two", "first\nsecond")
    page = see(visitor, "/runs/1")
    assert value_of(page, "note") == "first second"
    answer = visitor.post("/runs/1/edit", data={"label": "<b>", "note": "\x07"})
    page = read(answer.text)
    assert answer.status_code == 422
    assert value_of(page, "label") == "<b>"
    assert problem_beside(page, "label") == "only letters, digits, spaces and . : - _"
    assert problem_beside(page, "note") == "no control characters except line ends"


def test_running_run_is_not_deleted(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_run("running")
    response = visitor.post("/runs/1/delete")
    assert response.status_code == 409
    assert read(response.text).one(role="alert").text == "it is still running; cancel it first"


def test_run_is_deleted(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_run("interrupted")
    assert visitor.post("/runs/1/delete").headers["location"] == "/runs"
    assert lab.runs.find().runs == []


def test_runs_are_listed_in_pages(visitor: TestClient, lab: FakeLab) -> None:
    for number in range(60):
        lab.add_run(label=f"run {number}")
    page = see(visitor, "/runs")
    assert len(page.one("tbody").all("tr")) == 50
    [older] = [link for link in page.all("a") if link.text == "Older runs"]
    assert len(see(visitor, older.attributes["href"]).one("tbody").all("tr")) == 10


def test_filter_stays_in_the_form(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_run(label="one")
    lab.add_run("failed", label="two")
    page = see(visitor, "/runs?state=failed&label=")
    assert [row.one("a").text for row in page.one("tbody").all("tr")] == ["2 two"]
    assert value_of(page, "state") == "failed"


@pytest.mark.parametrize("query", ["state=asleep", "label=%3Cb%3E", "verdict=maybe"])
def test_bad_filter_has_reason_at_field(visitor: TestClient, lab: FakeLab, query: str) -> None:
    lab.add_run()
    assert see(visitor, f"/runs?{query}", 422).all(aria_invalid="true")
