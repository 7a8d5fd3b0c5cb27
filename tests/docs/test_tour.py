"""The commands of the tour work against a lab, with shorter runs, and its pictures exist."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from webapp.lab.demonstrations import demonstrations

TOUR = Path(__file__).parents[2] / "docs" / "tour.md"
SERVERLAB = f"{sys.executable} -c 'from webapp.cli.main import main; main()'"
START, *BLOCKS = re.findall(r"```sh\n(.*?)```", TOUR.read_text(), re.S)
EXIT_STATUSES = (0, 4, 99)  # a run with few samples on a busy machine may end with any of them


def shorten(body: dict[str, Any]) -> dict[str, Any]:
    """Change the body of a run so that it takes some tenths of a second."""
    for group in body["clients"]:
        group.update({"start_s": 0.0} | {name: 0.2 for name in ("hold_s", "duration_s") if name in group})
        if "script" in group:
            group["script"] = [{"send": "^a$"}, {"expect": "b"}]
    return body


def run_shell(commands: str, folder: Path, url: str, *, expected: tuple[int, ...] = (0,)) -> str:
    """Execute `commands` against the lab at `url`, with short runs, and return their output."""
    for name, spec in demonstrations().items():
        body = shorten(spec.model_dump(mode="json"))
        (folder / f"{name}.json").write_text(json.dumps(body))
    for text, replacement in {
        "http://127.0.0.1:8000": url.rstrip("/"),
        ".venv/bin/serverlab": SERVERLAB,
        "webapp/lab/demonstrations/": f"{folder}/",
        '"duration_s": 12': '"duration_s": 0.3',
        "--duration 12s": f"--duration 300ms --url {url}",
    }.items():
        commands = commands.replace(text, replacement)
    env = {**os.environ, "PYTHONPATH": str(TOUR.parents[1])}
    done = subprocess.run(["sh", "-ec", commands], cwd=folder, env=env, capture_output=True, text=True, timeout=50)
    assert done.returncode in expected, done.stderr
    return done.stdout


def test_commands_lead_to_downloads(tmp_path: Path, lab_url: str) -> None:
    assert START.startswith("make run")
    names, pictures, pools, compared, objective, silent, files = BLOCKS
    output = run_shell(
        names + pictures + pools + compared.replace("compare 4", f"compare --url {lab_url} 4"), tmp_path, lab_url
    )
    codes = re.findall(r"^\d{3}$", output, re.M)
    assert codes == ["200"] * 6
    assert "pool of 2" in output
    assert "queue wait, mean" in output
    assert len(json.loads((tmp_path / "pools.json").read_text())["runs"]) == 3
    run_shell(objective, tmp_path, lab_url, expected=EXIT_STATUSES)
    assert run_shell(names + silent, tmp_path, lab_url).count("200") == 2
    run_shell(names + files, tmp_path, lab_url)
    assert json.loads((tmp_path / "run-5.json").read_text())["run"]["label"] == "pool of 4"
    assert (tmp_path / "run-5.csv").read_text().startswith("name,group,")
    assert json.loads((tmp_path / "run-5.trace.json").read_text())
    assert "<svg" in (tmp_path / "run-5.html").read_text()


def test_script_prints_one_line_per_pool(lab_url: str) -> None:
    script = [sys.executable, str(TOUR.parent / "tour_by_script.py"), lab_url, "0.3"]
    output = subprocess.run(script, capture_output=True, text=True, timeout=50, check=True).stdout
    assert [line.split(":")[0] for line in output.splitlines()] == ["2 workers", "4 workers", "8 workers"]
    assert httpx.get(output.split()[-1]).status_code == 200


def test_pictures_and_linked_pages_exist() -> None:
    for target in re.findall(r"\]\(([^)]*)\)", TOUR.read_text()):
        assert (TOUR.parent / target).exists(), target
