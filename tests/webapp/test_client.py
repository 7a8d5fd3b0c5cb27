"""`LabClient` against a real lab: results and errors."""

from __future__ import annotations

import pytest

from tests.support.api_steps import LONG, QUICK
from tests.support.servers import server_config
from webapp.client import LabClient, LabError, LabUnreachable, closed, open_loop


def test_client_runs_and_reads_results(lab_url: str) -> None:
    with LabClient(lab_url) as lab:
        assert "bounded_pool" in [model.name for model in lab.models()]
        server = lab.start_server(model="bounded_pool", workers=2, name="mine")
        assert server.state == "listening"
        run = lab.wait(lab.run(server, clients=2, script=QUICK, label="two", seed=3).id)
        assert (run.state, run.server_id, run.label) == ("completed", server.id, "two")
        assert lab.report(run.id).run.seed == 3
        assert [row.outcome for row in lab.connections(run.id)] == ["completed", "completed"]
        assert "conn2 connected..." in lab.log(run.id)
        assert [listed.id for listed in lab.runs(label="tw", limit=5).runs] == [run.id]
        assert lab.stop_server(server.id, drain_s=0.1).state == "stopped"
        assert lab.restart_server(server.id).state == "listening"
        assert [listed.name for listed in lab.servers()] == ["mine"]
        lab.delete_server(server.id)
        lab.delete_run(run.id)
        assert lab.servers() == []
        assert lab.runs().runs == []


def test_client_accepts_settings_or_documents(lab_url: str) -> None:
    with LabClient(lab_url) as lab:
        config = server_config("sequential", backlog=5)
        assert lab.start_server(config, name="named").config["backlog"] == 5
        groups = [{"kind": "script", "name": "a", "script": QUICK}, {"kind": "script", "name": "b", "script": QUICK}]
        run = lab.wait(lab.run(config, clients=groups).id)
        assert [row.group for row in lab.connections(run.id)] == ["a", "b"]
        assert lab.wait(lab.run(1, clients=1, script=QUICK).id).server_id == 1


def test_group_functions_build_groups(lab_url: str) -> None:
    with LabClient(lab_url) as lab:
        groups = [closed(2, duration_s=0.2, message_bytes=5), open_loop(50, name="probe", duration_s=0.2, start_s=0.1)]
        looks: list[str] = []
        run = lab.run({"model": "event_loop"}, groups, seed=1, client_processes=1, client_cpus=None)
        run = lab.wait(run.id, on_look=lambda run: looks.append(run.state))
        assert run.state == "completed"
        assert set(looks) <= {"queued", "running"}
        assert [group.name for group in lab.report(run.id).groups] == ["closed", "probe"]
        for histogram in (lab.histogram(run.id), lab.histogram(run.id, "round_trip")):
            assert histogram.lstrip().startswith("Value")
            assert "#[Mean" in histogram
        assert lab.chart(run.id).startswith("<svg")
        assert lab.chart(run.id, "lanes").startswith("<svg")
        assert lab.timeline(run.id, rows=1).rows == 1
        assert lab.timeline(run.id, lanes=True).of == "lanes"


def test_refusal_carries_problem(lab_url: str) -> None:
    with LabClient(lab_url) as lab:
        with pytest.raises(LabError, match="no such field") as caught:
            lab.start_server(model="sequential", workers=2)
        assert (caught.value.status, caught.value.errors[0].field) == (422, "workers")
        with pytest.raises(LabError) as caught:
            lab.server(9)
        assert caught.value.status == 404


def test_wait_times_out_and_run_is_cancelled(lab_url: str) -> None:
    with LabClient(lab_url) as lab:
        run = lab.run({"model": "sequential"}, clients=1, script=LONG)
        with pytest.raises(TimeoutError, match=f"run {run.id} is still"):
            lab.wait(run.id, timeout_s=0.1)
        lab.cancel(run.id)
        assert lab.wait(run.id).state == "cancelled"


def test_unreachable_lab_is_reported() -> None:
    with LabClient("http://127.0.0.1:1") as lab, pytest.raises(LabUnreachable, match="no answer"):
        lab.version()
