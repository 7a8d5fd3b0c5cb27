"""Results of a run in the REST API: report, connections, log, percentiles and parts of the timeline."""

from __future__ import annotations

import csv
import io

import httpx
import pytest

from tests.support.api_steps import finished_run


def test_all_files_of_run_are_readable(api: httpx.Client) -> None:
    run = finished_run(api, count=2, label="read me")
    path = run["links"]["self"]
    report = api.get(run["links"]["report"]).json()
    assert set(report) == {
        *("schema_version", "run", "verdict", "totals", "latency", "waits", "groups", "series", "histograms"),
        *("window", "theory", "server", "environment"),
    }
    assert (report["run"]["id"], report["run"]["label"], report["run"]["state"]) == (run["id"], "read me", "completed")
    assert report["server"]["model"] == "sequential"
    rows = api.get(run["links"]["connections"]).json()
    assert rows == api.get(f"{path}/connections.json").json()
    assert [row["outcome"] for row in rows["connections"]] == ["completed", "completed"]
    assert [row["worker"] is not None for row in rows["connections"]] == [True, True]
    log = api.get(run["links"]["log"])
    assert log.headers["content-type"] == "text/plain; charset=utf-8"
    assert sorted(line.split(":", 4)[-1] for line in log.text.splitlines() if "sending" in line) == [
        "conn1 sending b'^ab$'",
        "conn2 sending b'^ab$'",
    ]
    for chart in ("timeline", "lanes"):
        drawing = api.get(f"{path}/charts/{chart}.svg")
        assert drawing.headers["content-type"] == "image/svg+xml"
        assert drawing.text.startswith("<svg")


def test_percentiles_have_plotter_format(api: httpx.Client) -> None:
    path = finished_run(api, count=2)["links"]["self"]
    response, round_trip = (api.get(f"{path}/histogram", params={"of": of}) for of in ("response", "round_trip"))
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == api.get(f"{path}/histogram").text
    for text in (response.text, round_trip.text):
        assert text.split("\n")[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
        assert "Total count    =            2]" in text
    assert api.get(f"{path}/histogram", params={"of": "lateness"}).status_code == 422


def test_connection_table_opens_as_csv(api: httpx.Client) -> None:
    run = finished_run(api)
    answer = api.get(f"{run['links']['connections']}.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="run-{run["id"]}-connections.csv"'
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["name"], row["outcome"], row["messages"]) == ("conn1", "completed", "1")


def test_spreadsheet_formulas_are_escaped(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished_run(api)
    row = api.get(run["links"]["connections"]).json()["connections"][0]
    monkeypatch.setattr(
        "webapp.lab.run_results.RunResults.connections",
        lambda *_: [row | {"name": "=HYPERLINK(1)", "group": "-1", "worker": "@x"}],
    )
    (shown,) = csv.DictReader(io.StringIO(api.get(f"{run['links']['connections']}.csv").text))
    assert (shown["name"], shown["group"], shown["worker"]) == ("'=HYPERLINK(1)", "'-1", "'@x")


def test_timeline_part_is_selected(api: httpx.Client) -> None:
    run = finished_run(api)
    path = run["links"]["self"]
    whole = api.get(f"{path}/timeline").json()
    listed = api.get(f"{path}/connections").json()["connections"]
    assert [dict(zip(whole["columns"], row, strict=True))["name"] for row in whole["connections"]] == [
        connection["name"] for connection in listed
    ]
    assert api.get(f"{path}/lanes").json()["of"] == "lanes"
    to_s = whole["whole_s"] / 2
    part = api.get(f"{path}/timeline", params={"to_s": to_s, "first": 0, "rows": 1}).json()
    assert (part["to_s"], part["rows"], len(part["connections"])) == (to_s, 1, 1)
    svg = api.get(run["links"]["timeline"], params={"to_s": to_s})
    assert svg.text.startswith("<svg")
    for params, field in (({"from_s": 5, "to_s": 4}, "to_s"), ({"first": 99}, "first"), ({"rows": "x"}, "rows")):
        for what in ("timeline", "charts/timeline.svg"):
            refused = api.get(f"{path}/{what}", params=params)
            assert refused.status_code == 422
            assert [error["field"] for error in refused.json()["errors"]] == [field]
