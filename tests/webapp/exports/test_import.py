"""Import of a run from another lab: complete, marked as imported, and safe with hostile files."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from coreserver.records.codec import encode_connections
from coreserver.records.joined import JoinedConnection
from coreserver.records.record_format import FORMAT
from tests.support.api_steps import QUICK, finished_run
from tests.support.made_records import ZERO_NS, pool_of_two, report_of, result
from tests.support.shell import serverlab
from webapp.client import LabClient
from webapp.exports.report_json import write_report
from webapp.problems import StorageFull
from webapp.serving import embedded
from webapp.settings import Settings
from webapp.storage.run_files import Records

JSON = {"Content-Type": "application/json"}
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202e{{7*7}}"
SHOWN = (
    *("/connections", "/connections.csv", "/log", "/histogram", "/trace", "/timeline", "/lanes"),
    *("/charts/timeline.svg", "/charts/lanes.svg", "/charts/timeline.json", "/report", "/report.json"),
)


@pytest.fixture(scope="module")
def shared(shared_url: str) -> Iterator[httpx.Client]:
    fresh = httpx.Limits(max_keepalive_connections=0)  # a kept connection would count as left behind
    with httpx.Client(base_url=shared_url, timeout=30, trust_env=False, limits=fresh) as client:
        client.headers["Origin"] = shared_url.rstrip("/")
        yield client


def made(connections: list[JoinedConnection] | None = None) -> bytes:
    """Return a small file of a constructed run."""
    joined = connections or pool_of_two()
    records = Records(FORMAT, ZERO_NS, 1_505_889_116.632, encode_connections(joined))
    return b"".join(write_report(report_of(result(joined, ended=4500)), records))


def count(api: httpx.Client) -> int:
    return len(api.get("/api/v1/runs", params={"limit": 500}).json()["runs"])


def test_run_is_the_same_in_another_lab(shared: httpx.Client, tmp_path: Path) -> None:
    server = shared.post("/api/v1/servers", json={"model": "bounded_pool", "workers": 2}).json()
    body = {
        "server": {"id": server["id"]},
        "label": "mine",
        "clients": [{"kind": "closed", "count": 3, "duration_s": 0.2}],
    }
    run = shared.post("/api/v1/runs?wait_s=30", json=body).json()
    path = run["links"]["self"]
    shared.patch(path, json={"note": "handed in"})
    file = shared.get(f"{path}/report.json")
    assert file.headers["content-disposition"] == f'attachment; filename="run-{run["id"]}-report.json"'
    with embedded(Settings(port=0, data_dir=tmp_path / "data")) as url, httpx.Client(base_url=url, timeout=30) as other:
        answer = other.post("/api/v1/runs/import", content=file.content, headers=JSON)
        there = answer.json()
        assert (answer.status_code, answer.headers["location"]) == (201, there["links"]["self"])
        assert (there["imported"], there["label"], there["note"]) == (True, "mine", "handed in")
        assert (there["state"], there["created_at"]) == (run["state"], run["created_at"])
        assert there["imported_from"] | {"version": None} == {"run_id": run["id"], "version": None, "has_records": True}
        assert other.get(f"{there['links']['self']}/report.json").content == file.content
        for part in ("/connections", "/connections.csv", "/log", "/histogram"):
            assert other.get(there["links"]["self"] + part).text == shared.get(path + part).text
        assert "imported" in other.get("/runs").text
        again = other.post(f"/runs/{there['id']}/again", headers={"Origin": url.rstrip("/")})
        assert (
            again.headers["location"] == "/runs/2"
        )  # with its own server, because the original one is in the other lab
        assert other.get("/api/v1/runs/2").json()["config"]["server"]["model"] == "bounded_pool"
    shared.delete(server["links"]["self"])


def test_own_run_is_not_marked(shared: httpx.Client) -> None:
    run = finished_run(shared)
    assert (run["imported"], run["imported_at"], run["imported_from"]) == (False, None, None)


def test_report_without_records_is_marked(shared: httpx.Client) -> None:
    report = report_of(result(pool_of_two(), ended=4500)).model_dump(mode="json")
    run = shared.post("/api/v1/runs/import", json=report).json()
    assert run["imported_from"]["has_records"] is False
    path = run["links"]["self"]
    assert shared.get(f"{path}/report").json() == report
    for part in ("/connections", "/connections.csv", "/log"):
        answer = shared.get(path + part)
        assert (answer.status_code, "its connections are not in the file" in answer.text) == (404, True)
    whole = shared.post("/api/v1/runs/import", content=made(), headers=JSON).json()["id"]
    compared = shared.get(f"/compare?run={run['id']}&run={whole}").text
    assert "connections are not stored here" in compared
    assert f"Timeline of run {whole}" in compared
    page = shared.get(f"/runs/{run['id']}", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "the file had no records of connections" in page.text
    assert json.loads(shared.get(f"{path}/report.json").content) == report


def test_invalid_file_is_refused_whole(shared: httpx.Client) -> None:
    before = count(shared)
    broken = json.loads(made())
    broken["totals"]["connections"]["due"] = 4
    answer = shared.post("/api/v1/runs/import", json=broken)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == "totals.connections.due"
    assert shared.post("/api/v1/runs/import", content=made(), headers={"Content-Type": "text/plain"}).status_code == 415
    assert count(shared) == before


def test_failed_import_stores_nothing(shared: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    before = count(shared)

    def fails(*_: Any) -> None:
        raise StorageFull("the disk is full or failing: nothing was stored")

    with monkeypatch.context() as patch:
        patch.setattr("webapp.storage.store._store_end", fails)
        assert shared.post("/api/v1/runs/import", content=made(), headers=JSON).status_code == 507
    assert count(shared) == before


def test_file_size_is_limited(tmp_path: Path) -> None:
    settings = Settings(port=0, data_dir=tmp_path / "data", max_import_bytes=80_000)
    with embedded(settings) as url, httpx.Client(base_url=url, timeout=30) as api:
        padded = made().ljust(80_000)
        assert api.post("/api/v1/runs/import", content=padded, headers=JSON).status_code == 201
        answer = api.post("/api/v1/runs/import", content=b" " * 90_000, headers=JSON)
        assert (answer.status_code, "max_import_bytes" in answer.text) == (413, True)
        assert "up to 78.1" in api.get("/runs").text
        answer = api.post("/api/v1/runs", content=b" " * 70_000, headers=JSON)
        assert (answer.status_code, "max_body_bytes" in answer.text) == (413, True)


# --- the form --------------------------------------------------------------------------------------------------------


def test_form_imports_a_file(shared: httpx.Client) -> None:
    assert 'enctype="multipart/form-data"' in shared.get("/runs").text
    answer = shared.post("/runs/import", files={"file": ("report.json", made(), "application/json")})
    assert answer.status_code == 303
    page = shared.get(answer.headers["location"], headers={"Accept": "text/html"})
    assert "Imported" in page.text


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"files": {"file": ("x.json", b"{}", "application/json")}}, "schema_version: is required"),
        ({"files": {"file": ("x.json", b"\xff", "text/html")}}, "not UTF-8"),
        ({"files": {"file": ("", b"", "application/json")}}, "choose a file"),
        ({"files": {"other": ("x.json", made(), "application/json")}}, "choose a file"),
        ({"files": [("file", ("a", made())), ("file", ("b", made()))]}, "could not be read"),
        ({"content": b"--", "headers": {"Content-Type": "multipart/form-data"}}, "could not be read"),
    ],
)
def test_wrong_upload_shows_the_reason(shared: httpx.Client, sent: dict[str, Any], said: str) -> None:
    before = count(shared)
    answer = shared.post("/runs/import", **sent)
    assert answer.status_code == 422
    assert said in answer.text
    assert "Import a run" in answer.text
    assert count(shared) == before


def test_other_site_cannot_import(shared: httpx.Client) -> None:
    file = {"file": ("report.json", made(), "application/json")}
    assert shared.post("/runs/import", files=file, headers={"Origin": "http://evil.com"}).status_code == 403
    assert shared.post("/runs/import", files=file, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_other_routes_refuse_files(shared: httpx.Client) -> None:
    file = {"file": ("report.json", made(), "application/json")}
    for path in ("/runs", "/servers", "/runs/1/edit", "/api/v1/runs/import", "/runs/import/"):
        assert shared.post(path, files=file).status_code == 415, path
    assert shared.post("/runs/import", data={"file": "x"}).status_code == 415


# --- hostile ---------------------------------------------------------------------------------------------------------


def hostile() -> dict[str, Any]:
    """Return a valid file with markup in every text that allows it."""
    joined = [
        JoinedConnection(
            replace(one.client, name=f"{HOSTILE}{place}", group=HOSTILE, detail=HOSTILE),
            one.server and replace(one.server, worker=f"={HOSTILE}"),
        )
        for place, one in enumerate(pool_of_two())
    ]
    file: dict[str, Any] = json.loads(made())
    file["bundle"]["connections"] = base64.b64encode(encode_connections(joined)).decode()
    file["groups"][0] |= {"name": HOSTILE, "kind": HOSTILE}
    file["run"] |= {"sentence": HOSTILE, "failure": HOSTILE, "failure_detail": HOSTILE, "state": "failed"}
    file["run"]["note"] = HOSTILE
    file["run"]["config"] |= {"server": {"model": HOSTILE, "address": HOSTILE}, "clients": [{HOSTILE: HOSTILE}]}
    file["verdict"]["reasons"] = [{"code": HOSTILE, "severity": "suspect", "detail": HOSTILE}]
    file["server"] |= {"model": HOSTILE[:80], "name": HOSTILE, "scope": HOSTILE, "placement": HOSTILE}
    file["server"] |= {"config": {HOSTILE: {HOSTILE: [HOSTILE]}}, "details": {HOSTILE: HOSTILE}}
    file["environment"] |= dict.fromkeys(("cpu", "system", "kernel", "python", "python_build"), HOSTILE)
    file["environment"]["versions"] = {HOSTILE: HOSTILE, "serverlab": HOSTILE}
    return file


def test_file_content_is_never_markup(shared: httpx.Client) -> None:
    answer = shared.post("/api/v1/runs/import", json=hostile())
    assert answer.status_code == 201, answer.text
    run = answer.json()
    other = shared.post("/api/v1/runs/import", content=made(), headers=JSON).json()["id"]
    pages = ["/", "/runs", f"/runs/{run['id']}", f"/compare?run={run['id']}&run={other}"]
    for path in [*pages, *(f"{run['links']['self']}{part}" for part in SHOWN)]:
        shown = shared.get(path, headers={"Accept": "text/html"})
        assert shown.status_code == 200, path
        if "html" in shown.headers["content-type"] or "svg" in shown.headers["content-type"]:
            assert "<script>alert" not in shown.text, path
            assert "<img" not in shown.text, path
    assert "'=" in shared.get(f"{run['links']['self']}/connections.csv").text
    answer = shared.post(f"/runs/{run['id']}/again")
    assert answer.status_code == 409


def test_imported_run_can_be_edited_and_deleted(shared: httpx.Client) -> None:
    run = shared.post("/api/v1/runs/import", content=made(), headers=JSON).json()
    path = run["links"]["self"]
    assert shared.patch(path, json={"label": "theirs"}).json()["label"] == "theirs"
    assert shared.get(f"{path}/report").json()["run"]["label"] == "theirs"
    assert shared.post(run["links"]["cancel"]).json()["state"] == "completed"
    assert shared.delete(path).status_code == 204
    assert shared.get(path).status_code == 404


# --- command line and client -----------------------------------------------------------------------------------------


def test_command_imports_files(shared: httpx.Client, shared_url: str, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_bytes(made())
    bad.write_text("{}")
    ended = serverlab("import", good, good, "--url", shared_url)
    assert ended.returncode == 0, ended.stderr
    first, second = ended.stdout.splitlines()
    assert re.fullmatch(rf"{re.escape(str(good))}: run \d+, {re.escape(shared_url)}runs/\d+", first)
    assert first != second
    ended = serverlab("import", bad, "--url", shared_url)
    assert (ended.returncode, "schema_version: is required" in ended.stderr) == (2, True)
    assert serverlab("import", tmp_path / "none.json", "--url", shared_url).returncode == 2
    assert serverlab("import", good, "--url", "http://127.0.0.1:9").returncode == 3
    ended = serverlab("import", good, "--data-dir", tmp_path / "no-lab")
    assert (ended.returncode, "serverlab serve" in ended.stderr) == (3, True)


def test_client_moves_a_run_between_labs(shared_url: str, tmp_path: Path) -> None:
    with LabClient(shared_url) as lab:
        run = lab.wait(lab.run({"model": "sequential"}, 1, script=QUICK, label="to go").id)
        file = lab.export(run.id, tmp_path / "run.json")
        back = lab.import_run(file)
        assert (back.imported, back.label, back.id != run.id) == (True, "to go", True)
        assert lab.export(back.id, tmp_path / "again.json").read_bytes() == file.read_bytes()
        assert lab.trace(back.id)["traceEvents"]
