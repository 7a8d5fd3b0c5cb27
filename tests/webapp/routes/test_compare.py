"""Comparison of runs over REST and at the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.api_steps import finished_run, script_run
from tests.support.shell import serverlab
from webapp.client import LabClient, LabError
from webapp.schemas.comparison import Comparison
from webapp.serving import embedded
from webapp.settings import Settings

# --- over REST -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A lab with three runs that ended with a report and a fourth that did not."""
    with (
        embedded(Settings(port=0, data_dir=tmp_path_factory.mktemp("data"))) as url,
        httpx.Client(base_url=url, timeout=30, trust_env=False) as client,
    ):
        for count in (1, 2, 1):
            finished_run(client, count=count)
        port = client.post("/api/v1/servers", json={"model": "sequential"}).json()["address"]["port"]
        taken = script_run({"model": "sequential", "port": port})
        assert client.post("/api/v1/runs?wait_s=30", json=taken).json()["state"] == "failed"
        yield client


def test_runs_keep_requested_order(compared: httpx.Client) -> None:
    answer = compared.get("/api/v1/compare", params={"run": [2, 1, 3]})
    assert answer.status_code == 200
    found = Comparison.model_validate(answer.json())
    assert [run.id for run in found.runs] == [2, 1, 3]
    [count] = [one for one in found.differences if one.path == "clients.0.count"]
    assert [setting.value for setting in count.values] == [2, 1, 1]
    [completed] = [figure for figure in found.figures if figure.name == "totals.connections.completed"]
    assert completed.values[1].delta == -1
    assert compared.get(found.links["self"]).json() == answer.json()
    assert compared.get(found.links["page"]).status_code == 200


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ([], 422, "run"),
        ([1], 422, "at least 2"),
        ([1, 1], 422, "different runs"),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], 422, "at most 8"),
        (["x", 1], 422, "run.0"),
        ([1, 9], 404, "there is no run 9"),
        ([1, 4], 409, "run 4 ended as failed without a result"),
    ],
)
def test_incomparable_runs_are_refused(compared: httpx.Client, asked: list[Any], status: int, says: str) -> None:
    for path in ("/api/v1/compare", "/compare"):
        assert compared.get(path, params={"run": asked}).status_code == status
    problem = compared.get("/api/v1/compare", params={"run": asked}).json()
    assert says in str(problem)
    if status == 422:
        assert problem["errors"][0]["field"].split(".")[0] == "run"


def test_client_compares_runs(compared: httpx.Client) -> None:
    with LabClient(str(compared.base_url)) as lab:
        assert [run.id for run in lab.compare(1, 2).runs] == [1, 2]
        with pytest.raises(LabError, match="there is no run 77"):
            lab.compare(1, 77)


def test_comparison_is_in_openapi(compared: httpx.Client) -> None:
    described = compared.get("/openapi.json").json()
    operation = described["paths"]["/api/v1/compare"]["get"]
    assert {"200", "404", "409", "422"} <= operation["responses"].keys()
    assert operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Comparison")
    assert "/compare" not in described["paths"]


# --- at the shell ----------------------------------------------------------------------------------------------------


def test_command_prints_comparison(compared: httpx.Client) -> None:
    printed = serverlab("compare", "1", "2", "--url", str(compared.base_url))
    assert printed.returncode == 0
    count, completed = (
        next(line.split() for line in printed.stdout.splitlines() if line.startswith(name))
        for name in ("clients.0.count", "connections completed")
    )
    assert count == ["clients.0.count", "1", "2"]
    assert completed == ["connections", "completed", "1", "2", "+100.0", "%", "more"]
    as_json = serverlab("compare", "1", "2", "--format", "json", "--url", str(compared.base_url))
    assert json.loads(as_json.stdout) == compared.get("/api/v1/compare?run=1&run=2").json()


def test_command_names_incomparable_run(compared: httpx.Client, tmp_path: Path) -> None:
    refused = serverlab("compare", "1", "9", "--url", str(compared.base_url))
    assert (refused.returncode, refused.stderr) == (2, "serverlab: there is no run 9\n")
    unknown = serverlab("compare", "1", "2", "--data-dir", tmp_path)
    assert (unknown.returncode, unknown.stderr) == (2, "serverlab: there is no run 1\n")
