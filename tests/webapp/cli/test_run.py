"""`serverlab run`: choice of the lab, output and exit code."""

from __future__ import annotations

import json
import re
import signal
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from coreserver.reports.schema.definitions import SCHEMA_VERSION
from tests.support.api_steps import LONG, QUICK
from tests.support.servers import running, wait_until
from tests.support.shell import serverlab, started
from webapp.serving import embedded
from webapp.settings import Settings
from webapp.storage.data_dir import write_address

LOG_LINE = re.compile(
    r"INFO:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}:conn\d (connected\.\.\.|sending b'|received b'|disconnecting)"
)


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    path = tmp_path / "quick.json"
    path.write_text(json.dumps(QUICK))
    return path


def test_command_starts_own_lab(tmp_path: Path, quick: Path) -> None:
    ended = serverlab("run", "--clients", "2", "--script", quick, "--data-dir", tmp_path / "none")
    assert ended.returncode == 0, ended.stderr
    log = [line for line in ended.stdout.splitlines() if line.startswith("INFO:")]
    assert len(log) == 8
    assert all(LOG_LINE.match(line) for line in log)
    assert "2 of 2 completed" in ended.stdout
    assert re.search(r"^peak in service +1$", ended.stdout, re.MULTILINE)
    assert "\nverdict      " in ended.stdout
    assert ended.stderr == ""
    assert not (tmp_path / "none").exists()


def test_json_output_is_one_document(tmp_path: Path, quick: Path) -> None:
    options = ("--model", "bounded_pool", "--workers", "2", "--queue-limit", "0", "--when-full", "wait")
    more = ("--option", "nodelay=false", "--option", "idle-timeout-s=5", "--seed", "4", "--label", "mine")
    ended = serverlab("run", *options, *more, "--script", quick, "--format", "json", "--data-dir", tmp_path / "none")
    assert ended.returncode == 0, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    assert report["schema_version"] == SCHEMA_VERSION
    assert (report["run"]["label"], report["run"]["seed"]) == ("mine", 4)
    config = report["server"]["config"]
    assert (config["workers"], config["queue_limit"], config["nodelay"], config["idle_timeout_s"]) == (2, 0, False, 5)
    assert report["totals"]["connections"]["completed"] == 3
    assert ended.stderr == ""


def test_command_uses_running_lab_or_url(settings: Settings, quick: Path) -> None:
    with embedded(settings) as url, httpx.Client(base_url=url, timeout=30) as api:
        found = serverlab("run", "--script", quick, "--data-dir", settings.data_dir, "--label", "found")
        told = serverlab("run", "--script", quick, "--url", url, "--label", "told")
        server = api.post("/api/v1/servers", json={"model": "sequential"}).json()
        by_id = ("--server", str(server["id"]), "--label", "env")
        env = serverlab("run", "--script", quick, *by_id, SERVERLAB_URL=url)
        assert [ended.returncode for ended in (found, told, env)] == [0, 0, 0]
        runs = api.get("/api/v1/runs?sort=created_at").json()["runs"]
        assert [(run["label"], run["server_id"]) for run in runs] == [("found", None), ("told", None), ("env", 1)]


def test_stale_address_is_ignored(tmp_path: Path, quick: Path) -> None:
    write_address(tmp_path, "http://127.0.0.1:1/")
    assert serverlab("run", "--script", quick, "--data-dir", tmp_path).returncode == 0


def test_other_server_at_address_is_ignored(tmp_path: Path, quick: Path) -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, format: str, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        thread = threading.Thread(target=stranger.serve_forever)
        thread.start()
        write_address(tmp_path, f"http://127.0.0.1:{stranger.server_port}/")
        assert serverlab("run", "--script", quick, "--data-dir", tmp_path).returncode == 0
        stranger.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--model", "nothing"], 2, "model: must be one of"),
        (["--workers", "2"], 2, "workers: there is no such field"),
        (["--model", "bounded_pool", "--workers", "0"], 2, "workers: must be"),
        (["--option", "workers"], 2, "KEY=VALUE"),
        (["--server", "9"], 2, "there is no server 9"),
        (["--server", "9", "--option", "a=1"], 2, "--server selects a running server: it cannot"),
        (["--server", "9", "--model", "sequential"], 2, "cannot be combined with --target, --model"),
        (["--target", "127.0.0.1:9000"], 2, "address: not one of the targets that the lab was started with"),
        (["--target", "127.0.0.1:9000", "--workers", "2"], 2, "--target selects a running server"),
        (["--target", "127.0.0.1:9000", "--allow-target", "nonsense"], 2, "--allow-target"),
        (["--duration", "5 parsecs"], 2, "--duration '5 parsecs' must be a time"),
        (["--duration", "5s", "--script", "article"], 2, "--script cannot be combined with"),
        (["--rate", "100", "--clients", "5"], 2, "--clients cannot be combined with arrivals"),
        (["--arrivals", "constant"], 2, "--arrivals needs --rate or --stages"),
        (["--stages", "9:1s", "--rate", "5"], 2, "rate_per_s: either rate_per_s or stages is required"),
        (["--client-cpus", "4095", "--duration", "1s"], 2, "client_cpus: "),
        (["--spec", "/nowhere.json"], 2, "--spec /nowhere.json: No such file"),
        (["--spec", "-", "--seed", "0"], 2, "--spec is the whole run"),
        (["--rate", "nan"], 2, "clients.0.rate_per_s: must be a finite number"),
        (["--stages", "5:1s,1e999:1s"], 2, "clients.0.stages.1.rate_per_s: must be a finite number"),
        (["--option", "idle_timeout_s=NaN"], 2, "server.idle_timeout_s: must be a finite number"),
        (["--group", '{"kind": "idle", "hold_s": 1e400}'], 2, "--group: hold_s: must be a finite number"),
        (["--note", "\udcff"], 2, "note: must not contain half of a surrogate pair"),  # an argument that is not UTF-8
        (["--group", "\udcff"], 2, "--group: the body is not UTF-8"),
        (["--rate", "-1"], 2, "rate_per_s: must be greater than 0"),
        (["--duration", "11m"], 2, "duration_s: must be less than or equal to 600"),
        (["--group", "{}"], 2, "--group must be an object with a kind"),
        (["--group", '{"kind": "idle", "cuont": 1}'], 2, "clients.0.cuont: there is no such field"),
        (["--slo", "response_p99_ms"], 2, "should be FIGURE<NUMBER"),
        (["--slo", "respnse_p99_ms<5"], 2, "there is no figure 'respnse_p99_ms'; there are response_p99_ms, "),
        (["--script", "/nowhere.json"], 2, "/nowhere.json"),
        (["--label", "<b>"], 2, "label: only letters, digits, spaces and . : - _"),
        (["--clients", "99999"], 2, "clients.0.count: must be less than or equal to 20000"),
        (["--clients", "0"], 2, "clients"),
        (["--url", "http://127.0.0.1:1"], 3, "no answer"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_go_to_stderr_only(shared_url: str, arguments: list[str], code: int, said: str) -> None:
    ended = serverlab("run", *arguments, "--format", "json", SERVERLAB_URL=shared_url)
    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert ended.stdout == ""


def test_script_file_is_strict_json(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    for text, said in (("{", "not JSON"), ("{}", "a list of steps"), ('[{"wait_s": NaN}]', "0.wait_s: must be")):
        bad.write_text(text)
        ended = serverlab("run", "--script", bad)
        assert ended.returncode == 2
        assert said in ended.stderr


def test_spec_needs_open_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.cli.run_body.sys", SimpleNamespace(stdin=None))
    ended = serverlab("run", "--spec", "-")
    assert (ended.returncode, ended.stderr) == (2, "serverlab: --spec -: there is no standard input\n")


def test_invalid_run_exits_4_with_report(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps([{"send": "^ab$"}, {"expect": "never"}]))
    arguments = ("--option", "idle_timeout_s=0.3", "--script", wrong, "--clients", "1", "--data-dir", tmp_path / "none")
    ended = serverlab("run", *arguments, "--format", "json")
    report = json.loads(ended.stdout)
    assert ended.returncode == (4 if report["verdict"]["status"] == "invalid" else 0)
    assert report["totals"]["connections"]["completed"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_prints_partial_report(tmp_path: Path, lab_url: str, number: signal.Signals) -> None:
    script = tmp_path / "long.json"
    script.write_text(json.dumps(LONG))
    with httpx.Client(base_url=lab_url, timeout=30) as api:
        with started("run", "--script", script, "--clients", "2", "--url", lab_url, "--format", "json") as process:

            def is_served() -> bool:
                runs = api.get("/api/v1/runs").json()["runs"]
                return bool(runs and runs[0]["progress"] and runs[0]["progress"]["counts"]["in_service"])

            wait_until(is_served, "a client is in service", deadline_s=60)
            process.send_signal(number)
            output, errors = process.communicate(timeout=60)
        assert process.returncode == 130, errors
        report = json.loads(output)
        assert report["run"]["state"] == "cancelled"
        assert report["totals"]["messages"]["verified"] == 1


# --- other loads than scripts; whether their figures can be believed depends on what else this machine does -----------


def test_closed_group_prints_verdict_first(tmp_path: Path) -> None:
    load = ("--clients", "4", "--duration", "300ms", "--message-bytes", "20", "--client-processes", "1", "--seed", "5")
    more = ("--warm-up", "50ms", "--messages-per-connection", "1", "--think", "30ms")
    ended = serverlab("run", "--model", "asyncio", *load, *more, "--data-dir", tmp_path / "none")
    assert ended.returncode in (0, 4), ended.stderr
    assert ended.stdout.startswith("verdict      ")
    warm_up = re.search(
        r"^warm-up      (\d+) messages, \1 clients; not in the figures below$", ended.stdout, re.MULTILINE
    )
    clients = re.search(r"^clients      (\d+) of \1 completed", ended.stdout, re.MULTILINE)
    assert warm_up
    assert clients
    assert 0 < int(warm_up[1]) < int(clients[1])
    assert re.search(r"^throughput +[\d .]+/s$", ended.stdout, re.MULTILINE)
    assert re.search(r"^response time +[\d,]+  ", ended.stdout, re.MULTILINE)
    measured = int(clients[1]) - int(warm_up[1])
    assert re.search(rf"^queue wait +{measured} ", ended.stdout, re.MULTILINE)
    assert "INFO:" not in ended.stdout
    assert ended.stderr == ""


def test_two_groups_in_one_json_document(tmp_path: Path) -> None:
    load = ("--rate", "100", "--arrivals", "constant", "--duration", "500ms", "--warm-up", "100ms")
    more = (
        "--group",
        '{"kind": "idle", "count": 2, "hold_s": 0.3}',
        "--slo",
        "due_connections==52",
        "--format",
        "json",
    )
    ended = serverlab("run", "--model", "event_loop", *load, *more, "--data-dir", tmp_path / "none")
    assert ended.returncode in (0, 4), ended.stderr
    report = json.loads(ended.stdout)
    assert [(group["kind"], group["totals"]["connections"]["due"]) for group in report["groups"]] == [
        ("open", 50),
        ("idle", 2),
    ]
    assert report["run"]["config"]["clients"][0]["warm_up_s"] == 0.1
    judged = {"objective": "due_connections==52", "value": 52, "met": True, "detail": "met: 52"}
    assert report["objectives"] == [judged]


def test_missed_objective_exits_99(tmp_path: Path, quick: Path) -> None:
    objectives = ("--slo", "completed_connections==1", "--slo", "response_p99_ms<60000")
    ended = serverlab("run", "--clients", "1", "--script", quick, *objectives, "--data-dir", tmp_path / "none")
    assert ended.returncode == 99, ended.stderr
    assert "objective    completed_connections==1 met: 1\n" in ended.stdout
    assert "objective    response_p99_ms<60000 missed: 1 samples are too few (1,000 needed)" in ended.stdout


def test_run_against_external_target(tmp_path: Path, quick: Path) -> None:
    with running("thread_per_client") as host:
        assert host.address is not None
        target = f"127.0.0.1:{host.address.port}"
        arguments = ("--target", target, "--allow-target", target, "--script", quick, "--clients", "2")
        ended = serverlab("run", *arguments, "--data-dir", tmp_path / "none")
    assert ended.returncode == 0, ended.stderr
    assert f"server       external at {target}" in ended.stdout
    assert "clients      2 of 2 completed\n" in ended.stdout


def test_unreachable_target_exits_3(tmp_path: Path) -> None:
    target = ("--target", "127.0.0.1:1111", "--allow-target", "127.0.0.1:1111")
    ended = serverlab("run", *target, "--duration", "200ms", "--slo", "failed_connections<1", "--data-dir", tmp_path)
    assert ended.returncode == 3, ended.stdout
    assert "could_not_connect" in ended.stdout
