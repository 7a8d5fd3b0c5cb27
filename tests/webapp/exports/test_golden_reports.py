"""Every report of an earlier version can be imported and shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from coreserver.reports.schema.definitions import SCHEMA_VERSION
from coreserver.reports.schema.report import Report
from tests.support.golden import REPORTS, golden_report
from tests.support.shell import serverlab

JSON = {"Content-Type": "application/json"}
HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def lab(shared_url: str) -> Iterator[httpx.Client]:
    fresh = httpx.Limits(max_keepalive_connections=0)  # a kept connection would count as left behind
    with httpx.Client(base_url=shared_url, timeout=60, trust_env=False, limits=fresh) as client:
        yield client


@pytest.fixture(scope="module")
def imported(lab: httpx.Client) -> dict[str, dict[str, Any]]:
    """Return the imported run of each report, by the report's name."""
    runs = {}
    for name, path in REPORTS.items():
        answer = lab.post("/api/v1/runs/import", content=path.read_bytes(), headers=JSON)
        assert answer.status_code == 201, (name, answer.text)
        runs[name] = answer.json()
    return runs


every_report = pytest.mark.parametrize("name", REPORTS)


@every_report
def test_report_is_upgraded(lab: httpx.Client, imported: dict[str, Any], name: str) -> None:
    before, run = golden_report(name), imported[name]
    report = lab.get(run["links"]["report"]).json()
    Report.model_validate(report)
    assert report["schema_version"] == SCHEMA_VERSION
    assert report["run"]["sentence"] == before["run"]["sentence"]
    assert report["totals"]["connections"] == before["totals"]["connections"]
    assert report["latency"] == before["latency"]
    assert report["waits"] == before["waits"]
    assert run["imported_from"]["has_records"] is ("bundle" in before)


@every_report
def test_run_page_shows_it(lab: httpx.Client, imported: dict[str, Any], name: str) -> None:
    page = lab.get(imported[name]["links"]["page"], headers=HTML)
    assert page.status_code == 200
    assert golden_report(name)["run"]["sentence"] in unescape(page.text)
    assert "cannot be read" not in page.text
    assert "Environment" in page.text


@every_report
def test_charts_are_drawn(lab: httpx.Client, imported: dict[str, Any], name: str) -> None:
    links = {link: url for link, url in imported[name]["links"].items() if link.startswith("chart_")}
    assert links
    statuses = {link: lab.get(url).status_code for link, url in links.items()}
    assert statuses["chart_load"] == 200
    assert set(statuses.values()) <= {200, 404}, statuses  # 404: too few samples, or one group only


@every_report
def test_compare_page_shows_it(lab: httpx.Client, imported: dict[str, Any], name: str) -> None:
    other = next(other for other in imported if other != name)
    for pair in ((name, other), (other, name)):
        query = "&".join(f"run={imported[each]['id']}" for each in pair)
        page = lab.get(f"/compare?{query}", headers=HTML)
        assert page.status_code == 200
        assert golden_report(name)["run"]["sentence"] in unescape(page.text)


def test_offline_page_shows_it(api: httpx.Client) -> None:
    for name, path in REPORTS.items():
        run = api.post("/api/v1/runs/import", content=path.read_bytes(), headers=JSON).json()
        page = api.get(run["links"]["report_html"])
        assert page.status_code == 200, name
        assert golden_report(name)["run"]["sentence"] in unescape(page.text)
        assert "could not be rendered" not in page.text, name


@every_report
def test_export_is_imported_again(lab: httpx.Client, imported: dict[str, Any], name: str) -> None:
    file = lab.get(imported[name]["links"]["report_json"])
    assert file.json().get("bundle") == golden_report(name).get("bundle")
    again = lab.post("/api/v1/runs/import", content=file.content, headers=JSON)
    assert again.status_code == 201, again.text
    assert lab.get(again.json()["links"]["report_json"]).content == file.content


def test_command_imports_and_compares(shared_url: str) -> None:
    ended = serverlab("import", *REPORTS.values(), "--url", shared_url)
    assert ended.returncode == 0, ended.stderr
    ids = [line.rpartition("/")[2] for line in ended.stdout.splitlines()]
    assert len(ids) == len(REPORTS)
    compared = serverlab("compare", *ids[-5:], "--url", shared_url)
    assert compared.returncode == 0, compared.stderr
    assert all(f"run {each} " in compared.stdout for each in ids[-5:])
    assert "Latency" in compared.stdout


def test_newer_report_is_refused_by_name(lab: httpx.Client) -> None:
    report = golden_report(max(REPORTS)) | {"schema_version": SCHEMA_VERSION + 5, "new_figure": 1}
    report["environment"]["versions"]["serverlab"] = "9.1.0"
    answer = lab.post("/api/v1/runs/import", json=report)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {
            "field": "schema_version",
            "message": f"the report was written by Serverlab 9.1.0 with schema version {SCHEMA_VERSION + 5}; this "
            f"program reads versions up to {SCHEMA_VERSION}: install a newer Serverlab to open it",
        }
    ]


def test_newer_report_is_refused_by_the_command(shared_url: str, tmp_path: Path) -> None:
    file = tmp_path / "newer.json"
    file.write_text(json.dumps(golden_report(max(REPORTS)) | {"schema_version": SCHEMA_VERSION + 1}))
    ended = serverlab("import", file, "--url", shared_url)
    assert ended.returncode == 2
    assert "install a newer Serverlab" in ended.stderr
