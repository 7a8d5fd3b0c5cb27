"""The tour can be followed: its commands run against a lab, with shorter runs, and its pictures are there."""

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
CAN_END_WITH = (0, 4, 99)  # a run of so few samples on a busy machine may be anything


def shortened(body: dict[str, Any]) -> dict[str, Any]:
    """The same run, of tenths of a second."""
    for group in body["clients"]:
        group.update({"start_s": 0.0} | {name: 0.2 for name in ("hold_s", "duration_s") if name in group})
        if "script" in group:
            group["script"] = [{"send": "^a$"}, {"expect": "b"}]
    return body


def shell(commands: str, folder: Path, url: str, *, may_end_with: tuple[int, ...] = (0,)) -> str:
    """What `commands` print, the lab being at `url` and everything that takes long being short."""
    for name, spec in demonstrations().items():
        body = shortened(spec.model_dump(mode="json"))
        (folder / f"{name}.json").write_text(json.dumps(body))
    for written, meant in {
        "http://127.0.0.1:8000": url.rstrip("/"),
        ".venv/bin/serverlab": SERVERLAB,
        "webapp/lab/demonstrations/": f"{folder}/",
        '"duration_s": 12': '"duration_s": 0.3',
        "--duration 12s": f"--duration 300ms --url {url}",
    }.items():
        commands = commands.replace(written, meant)
    env = {**os.environ, "PYTHONPATH": str(TOUR.parents[1])}
    done = subprocess.run(["sh", "-ec", commands], cwd=folder, env=env, capture_output=True, text=True, timeout=50)
    assert done.returncode in may_end_with, done.stderr
    return done.stdout


def test_its_commands_lead_from_an_empty_lab_to_what_can_be_taken_away(tmp_path: Path, lab_url: str) -> None:
    assert START.startswith("make run")
    names, pictures, pools, compared, objective, silent, files = BLOCKS
    asked = shell(
        names + pictures + pools + compared.replace("compare 4", f"compare --url {lab_url} 4"), tmp_path, lab_url
    )
    codes = re.findall(r"^\d{3}$", asked, re.M)
    assert codes == ["200"] * 6
    assert "pool of 2" in asked
    assert "queue wait, mean" in asked
    assert len(json.loads((tmp_path / "pools.json").read_text())["runs"]) == 3
    shell(objective, tmp_path, lab_url, may_end_with=CAN_END_WITH)
    assert shell(names + silent, tmp_path, lab_url).count("200") == 2
    shell(names + files, tmp_path, lab_url)
    assert json.loads((tmp_path / "run-5.json").read_text())["run"]["label"] == "pool of 4"
    assert (tmp_path / "run-5.csv").read_text().startswith("name,group,")
    assert json.loads((tmp_path / "run-5.trace.json").read_text())
    assert "<svg" in (tmp_path / "run-5.html").read_text()


def test_its_question_is_asked_by_a_script(lab_url: str) -> None:
    script = [sys.executable, str(TOUR.parent / "tour_by_script.py"), lab_url, "0.3"]
    said = subprocess.run(script, capture_output=True, text=True, timeout=50, check=True).stdout
    assert [line.split(":")[0] for line in said.splitlines()] == ["2 workers", "4 workers", "8 workers"]
    assert httpx.get(said.split()[-1]).status_code == 200


def test_its_pictures_and_the_pages_it_leads_to_are_there() -> None:
    for target in re.findall(r"\]\(([^)]*)\)", TOUR.read_text()):
        assert (TOUR.parent / target).exists(), target
