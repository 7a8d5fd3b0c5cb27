"""Charts of runs as files, their availability, and the script that draws them in pages."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import httpx
import pytest

from tests.support.api_steps import LONG, finished_run, script_run
from webapp.charts.rendering.vega_version import BUNDLE_PATH
from webapp.client import LabClient, LabError

pytestmark = pytest.mark.leaves_behind("the file's lab keeps the process that draws; the renderer's own tests look")

PNG = b"\x89PNG"
ENOUGH = [{"send": "^ab$"}, {"expect": "bc"}] * 20


@pytest.fixture(scope="module")
def lab(shared_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared_url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def charts(lab: httpx.Client) -> str:
    """Path of the charts of a run with enough messages."""
    body = script_run({"model": "thread_per_client"}, ENOUGH, count=2, label="charted")
    run = lab.post("/api/v1/runs?wait_s=30", json=body).json()
    return f"{run['links']['self']}/charts"


def test_chart_is_served_as_spec_and_picture(lab: httpx.Client, charts: str) -> None:
    spec = lab.get(f"{charts}/percentiles.json")
    assert spec.headers["content-type"] == "application/json"
    assert "vega-lite/v6" in spec.json()["$schema"]
    svg = lab.get(f"{charts}/percentiles.svg")
    assert svg.headers["content-type"] == "image/svg+xml"
    assert "charted" in svg.text
    assert lab.get(f"{charts}/percentiles.png").content.startswith(PNG)


@pytest.mark.parametrize("name", ["timeline", "lanes"])
def test_drawing_is_served_in_all_formats(lab: httpx.Client, charts: str, name: str) -> None:
    assert lab.get(f"{charts}/{name}.svg").text.startswith("<svg")
    assert lab.get(f"{charts}/{name}.png").content.startswith(PNG)
    rows = lab.get(f"{charts}/{name}.json").json()["rows"]
    assert [row["outcome"] for row in rows] == ["completed"] * 2


@pytest.mark.parametrize(
    ("file", "says"), [("pie.svg", "percentiles"), ("percentiles.gif", "svg, png, json"), ("timeline.pdf", "svg")]
)
def test_unknown_chart_lists_known_ones(lab: httpx.Client, charts: str, file: str, says: str) -> None:
    answer = lab.get(f"{charts}/{file}")
    assert answer.status_code == 404
    assert says in answer.json()["detail"]


def test_chart_needs_enough_samples(lab: httpx.Client) -> None:
    answer = lab.get(f"{finished_run(lab)['links']['self']}/charts/percentiles.svg")
    assert answer.status_code == 404
    assert "too few" in answer.json()["detail"]


def test_only_cached_pictures_during_a_run(lab: httpx.Client, shared_url: str, charts: str) -> None:
    known = lab.get(f"{charts}/percentiles.svg").text
    run = lab.post("/api/v1/runs", json=script_run({"model": "sequential"}, LONG)).json()
    try:
        assert lab.get(f"{run['links']['self']}/charts/percentiles.json").status_code == 409
        assert lab.get(f"{charts}/percentiles.svg").text == known
        lab.patch(charts.removesuffix("/charts"), json={"label": "renamed", "note": ""})
        refused = lab.get(f"{charts}/percentiles.svg")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert "queued or in progress" in refused.json()["detail"]
    finally:
        with LabClient(shared_url) as client:
            client.cancel(run["id"])
            client.wait(run["id"])


def test_chart_script_is_cacheable_and_compressed(lab: httpx.Client) -> None:
    packed = lab.get(BUNDLE_PATH, headers={"Accept-Encoding": "gzip"})
    plain = lab.get(BUNDLE_PATH, headers={"Accept-Encoding": "identity"})
    assert "immutable" in packed.headers["cache-control"]
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content
    assert len(gzip.compress(plain.content)) < 400_000
    assert "vegaEmbed" in plain.text


def test_client_fetches_charts(shared_url: str, charts: str) -> None:
    run_id = int(charts.split("/")[-2])
    with LabClient(shared_url) as client:
        assert client.chart(run_id).startswith("<svg")
        assert client.chart_png(run_id, "timeline").startswith(PNG)
        assert client.chart_spec(run_id, "percentiles")["usermeta"]
        with pytest.raises(LabError, match="no such chart"):
            client.chart(run_id, "pie")
