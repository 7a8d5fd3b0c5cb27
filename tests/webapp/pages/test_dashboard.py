"""The dashboard and the page of a server: their content, and the response to each form."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from coreserver.config.server import ServerOptions
from coreserver.models import MODELS
from coreserver.records.server import Event
from tests.support.fake_lab import FakeLab, article_connections, in_service, waiting
from tests.support.page_reader import problem_beside, read, see, value_of
from webapp.forms.schema_form import fields_of
from webapp.lab.demonstrations import demonstrations
from webapp.problems import Conflict, FieldError, Invalid, NotFound, Quota

# --- an empty lab ----------------------------------------------------------------------------------------------------


def test_empty_dashboard_explains_first_step(visitor: TestClient) -> None:
    page = see(visitor, "/")
    assert "No servers yet. Choose a design" in page.text
    assert "No runs yet." in page.text
    assert page.one("head").one("title").text == "Dashboard · Serverlab"


def test_empty_run_list_explains_first_step(visitor: TestClient) -> None:
    assert "Launch one from the dashboard" in see(visitor, "/runs").text
    assert "No run matches" in see(visitor, "/runs?label=none").text


# --- the dashboard ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_link_chooses_design(visitor: TestClient, name: str) -> None:
    page = see(visitor, f"/?model={name}")
    [chosen] = page.all("a", data_design=name, aria_current="true")
    assert chosen.text == name
    own = set(MODELS[name].Config.model_fields) - set(ServerOptions.model_fields)
    shown = [field.name for field in fields_of(MODELS[name].Config, {}, {})]
    assert own <= set(shown)
    for option in shown:
        assert page.one(id=option).tag in ("input", "select")
    assert f"Start {name}" in [button.text for button in page.all("button")]


def test_dashboard_lists_servers_and_runs(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_server(name="pool of two", workers=2)
    lab.add_server("sequential", "stopped")
    lab.add_run(label="article", connections=article_connections())
    page = see(visitor, "/")
    assert "pool of two bounded_pool at 127.0.0.1:9001 listening 2 1 4" in page.text
    assert "server-2 sequential stopped" in page.text
    assert "1 article 2 of 3 clients were served at once" in page.text
    assert "completed valid" in page.text
    targets = [option.text for option in page.one(id="server").all("option")]
    assert targets == [
        "a new bounded_pool with the options above, for this run only",
        "pool of two (bounded_pool, port 9001)",
    ]


def test_query_fills_the_forms(visitor: TestClient) -> None:
    page = see(
        visitor,
        "/?model=bounded_pool&workers=2&clients.0.count=12&clients.0.script=steps&clients.0.steps=wait%201&run.label=mine",
    )
    assert [value_of(page, field) for field in ("workers", "clients.0.count", "clients.0.steps", "run.label")] == [
        "2", "12", "wait 1", "mine",
    ]  # fmt: skip


def test_start_redirects_to_server(visitor: TestClient, lab: FakeLab) -> None:
    response = visitor.post("/servers", data={"model": "bounded_pool", "workers": "2", "name": "mine"})
    assert (response.status_code, response.headers["location"]) == (303, "/servers/1")
    assert lab.servers.get(1).config["workers"] == 2


@pytest.mark.parametrize(
    ("field", "typed", "reason"),
    [
        ("workers", "0", "must be 1 or more"),
        ("workers", "two", "must be a whole number"),
        ("port", "80", "must be 0 or 1024 to 65535"),
        ("host", "0.0.0.0", "must be a loopback address such as 127.0.0.1 or ::1"),  # noqa: S104
        ("name", "<i>", "only letters, digits, spaces and . : - _, at least one"),
        ("idle_timeout_s", "-1", "must be more than 0"),
    ],
)
def test_bad_option_has_reason_at_field(visitor: TestClient, lab: FakeLab, field: str, typed: str, reason: str) -> None:
    response = visitor.post("/servers", data={"model": "bounded_pool", "queue_limit": "7", field: typed})
    page = read(response.text)
    assert response.status_code == 422
    assert (value_of(page, field), problem_beside(page, field)) == (typed, reason)
    assert value_of(page, "queue_limit") == "7"
    assert lab.servers.all() == []


def test_bad_field_is_unfolded(visitor: TestClient) -> None:
    response = visitor.post("/servers", data={"model": "sequential", "backlog": "0"})
    folded = [details for details in read(response.text).all("details") if details.all(id="backlog")]
    assert ["open" in details.attributes for details in folded] == [True]


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ({"model": "event_loop", "workers": "3"}, "workers: event_loop has no such option"),
        (
            {"model": "c_threads", "switch_interval_us": "50"},
            "switch_interval_us: needs a Python model: c_threads has no interpreter",
        ),
        ({"model": "c_threads", "placement": "thread"}, "placement: must be 'process'"),
    ],
)
@pytest.mark.parametrize("action", ["/servers", "/runs"])
def test_foreign_option_is_refused_by_name(
    visitor: TestClient, lab: FakeLab, action: str, typed: dict[str, str], reason: str
) -> None:
    response = visitor.post(action, data={"server": "new", "clients.0.count": "1", **typed})
    assert response.status_code == 422
    assert read(response.text).one(role="alert").text == reason
    assert (lab.servers.all(), lab.runs.find().runs) == ([], [])


def test_conflict_has_reason_at_field(visitor: TestClient, lab: FakeLab) -> None:
    lab.refusal = Conflict("port 9000 is in use", errors=[FieldError("port", "is in use")])
    response = visitor.post("/servers", data={"model": "sequential", "port": "9000"})
    page = read(response.text)
    assert response.status_code == 409
    assert (value_of(page, "port"), problem_beside(page, "port")) == ("9000", "is in use")


def test_limit_is_shown_above_form(visitor: TestClient, lab: FakeLab) -> None:
    lab.refusal = Quota("max_servers", "there are 32 already")
    response = visitor.post("/servers", data={"model": "sequential"})
    assert response.status_code == 429
    assert read(response.text).one(role="alert").text == "max_servers: there are 32 already"


# --- launching -------------------------------------------------------------------------------------------------------


def test_run_gets_a_new_server(visitor: TestClient, lab: FakeLab) -> None:
    form = {"server": "new", "model": "bounded_pool", "workers": "2", "clients.0.count": "3", "run.label": "first"}
    response = visitor.post("/runs", data=form)
    assert (response.status_code, response.headers["location"]) == (303, "/runs/1")
    config = lab.runs.get(1).config
    assert (config["label"], config["server"]["workers"], config["clients"][0]["count"]) == ("first", 2, 3)
    assert config["clients"][0]["script"] == "article"


def test_run_uses_existing_server(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_server()
    form = {
        "origin": "server",
        "server": "1",
        "clients.0.script": "steps",
        "clients.0.steps": "send ^a$\r\nexpect b",
        "workers": "junk",
    }
    assert visitor.post("/runs", data=form).status_code == 303
    assert lab.runs.get(1).config["server"] == {"id": 1}
    assert lab.runs.get(1).config["clients"][0]["script"] == [{"send": "^a$"}, {"expect": "b"}]


@pytest.mark.parametrize("origin", ["dashboard", "server"])
def test_bad_launch_returns_to_its_page(visitor: TestClient, lab: FakeLab, origin: str) -> None:
    lab.add_server(name="target")
    form = {
        "origin": origin,
        "server": "1",
        "clients.0.count": "0",
        "clients.0.script": "steps",
        "clients.0.steps": "jump",
        "run.label": "<",
    }
    response = visitor.post("/runs", data=form)
    page = read(response.text)
    assert response.status_code == 422
    assert page.one("head").one("title").text.startswith("Dashboard" if origin == "dashboard" else "Server 1")
    assert problem_beside(page, "clients.0.count") == "must be 1 or more"
    assert (
        problem_beside(page, "clients.0.steps") == "line 1: must be send, hex, wait or expect, then a space and a value"
    )
    assert problem_beside(page, "run.label") == "only letters, digits, spaces and . : - _"
    assert (value_of(page, "clients.0.count"), value_of(page, "clients.0.steps"), value_of(page, "run.label")) == (
        "0",
        "jump",
        "<",
    )
    assert lab.runs.find().runs == []


def test_bad_option_of_new_server_has_reason(visitor: TestClient) -> None:
    response = visitor.post("/runs", data={"server": "new", "model": "bounded_pool", "workers": "none"})
    assert response.status_code == 422
    assert problem_beside(read(response.text), "workers") == "must be a whole number"


def test_stopped_server_refuses_launch(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_server()
    lab.refusal = Conflict("server 1 is stopped")
    response = visitor.post("/runs", data={"origin": "dashboard", "server": "1"})
    assert response.status_code == 409
    assert read(response.text).one(role="alert").text == "server 1 is stopped"


def test_demonstrations_start_with_one_click(visitor: TestClient, lab: FakeLab) -> None:
    buttons = [form for form in see(visitor, "/").all("form") if "/demonstrations/" in form.attributes["action"]]
    assert len(buttons) == len(demonstrations()) == 7
    for number, button in enumerate(buttons, start=1):
        answer = visitor.post(button.attributes["action"])
        assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{number}")
        assert lab.runs.get(number).label == button.one("button").text


def test_refused_demonstration_shows_reason(visitor: TestClient, lab: FakeLab) -> None:
    assert visitor.post("/demonstrations/none").status_code == 404
    lab.refusal = Quota("max_queued_runs", "there are 100 already")
    answer = visitor.post("/demonstrations/1_sequential")
    assert answer.status_code == 429
    assert "there are 100 already" in read(answer.text).one(role="alert").text


def test_external_server_needs_permission(visitor: TestClient, lab: FakeLab) -> None:
    assert not see(visitor, "/").all(id="address")
    lab.settings = replace(lab.settings, allow_target=("127.0.0.1:9000",))
    typed = {"server": "address", "address": "127.0.0.1:9000"}
    assert visitor.post("/runs", data=typed).headers["location"] == "/runs/1"
    assert lab.runs.get(1).config["server"] == {"address": "127.0.0.1:9000"}
    page = see(visitor, "/runs/1")
    assert "at 127.0.0.1:9000" in page.text
    lab.refusal = Invalid("not allowed", errors=[FieldError("server.address", "not allowed")])
    page = read(visitor.post("/runs", data=typed).text)
    assert (value_of(page, "address"), problem_beside(page, "address")) == ("127.0.0.1:9000", "not allowed")
    lab.refusal = None
    assert problem_beside(read(visitor.post("/runs", data={**typed, "address": ""}).text), "address")


# --- a server --------------------------------------------------------------------------------------------------------


def test_server_shows_lanes_and_queue(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_server(name="pool of two", workers=2, placement="process")
    lab.open = [in_service(5, "worker-1"), in_service(6, "worker-2"), waiting(7)]
    lab.happened = [Event(1, "grew", "to 2"), Event(2, "refused", "queue full")]
    lab.details = {"loop": "uvloop 1.0"}
    page = see(visitor, "/servers/1")
    lanes = [row.text for row in page.one("tbody", data_lanes="").all("tr")]
    assert lanes[0] == "acceptor accepts"
    assert re.match(r"worker-1 serves 5 127\.0\.0\.1:50005 [1-9]", lanes[1])
    assert len(lanes) == 3
    assert "7 127.0.0.1:50007" in page.one(aria_label="Table: Queue").text
    assert "0 in the backlog" in page.text
    assert page.one("table", data_events="").text.endswith("to 2")  # the newest first
    assert "completed 4" in page.text
    assert "its own process, pid 4242, loop uvloop 1.0" in page.text
    assert "class BoundedPool(" in page.one("pre").text


def test_stopped_server_has_no_lanes(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_server(state="stopped")
    page = see(visitor, "/servers/1")
    assert "The server is not running and has no connections." in page.text
    assert page.one("tbody", data_lanes="").text == ""
    assert "hidden" in page.one("section", id="server-minute").attributes


@pytest.mark.parametrize(
    ("state", "actions"),
    [("listening", {"stop", "delete"}), ("draining", {"stop", "delete"}), ("stopped", {"start", "delete"})],
)
def test_actions_follow_server_state(visitor: TestClient, lab: FakeLab, state: str, actions: set[str]) -> None:
    lab.add_server(state=state)
    forms = [form.attributes["action"].removeprefix("/servers/1/") for form in see(visitor, "/servers/1").all("form")]
    assert set(forms) - {"/runs"} == actions


def test_forms_stop_start_and_delete_server(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_server()
    assert visitor.post("/servers/1/stop", data={"drain_s": "0.5"}).headers["location"] == "/servers/1"
    assert "its port is taken" not in see(visitor, "/servers/1").text
    assert lab.servers.get(1).state == "stopped"
    assert visitor.post("/servers/1/start").headers["location"] == "/servers/1"
    assert lab.servers.get(1).state == "listening"
    assert visitor.post("/servers/1/delete").headers["location"] == "/"
    assert lab.servers.all() == []


def test_bad_drain_has_reason_at_field(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_server()
    response = visitor.post("/servers/1/stop", data={"drain_s": "soon"})
    page = read(response.text)
    assert response.status_code == 422
    assert (value_of(page, "drain_s"), problem_beside(page, "drain_s")) == ("soon", "must be a number")


def test_refused_start_shows_reason(visitor: TestClient, lab: FakeLab) -> None:
    lab.add_server(state="failed")
    lab.refusal = Conflict("port 9001 is in use")
    response = visitor.post("/servers/1/start")
    page = read(response.text)
    assert response.status_code == 409
    assert page.one(role="alert").text == "port 9001 is in use"
    assert "its port is taken" in page.text


# --- no page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/servers/9", "/runs/9", "/nothing"])
def test_missing_page_has_links(visitor: TestClient, path: str) -> None:
    page = see(visitor, path, 404)
    assert page.one("h1").text == NotFound.title
    assert page.one("main").all("a", href="/")


@pytest.mark.parametrize("path", ["/servers/0", "/runs/-1", "/runs/x", "/servers/99999999999999999999"])
def test_odd_id_is_a_client_error(visitor: TestClient, path: str) -> None:
    assert visitor.get(path).status_code in (404, 422)
