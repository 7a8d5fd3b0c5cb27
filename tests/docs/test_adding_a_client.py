"""The steps of docs/adding-a-client.md, followed on a copy, add a persona that every part of the lab offers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adding-a-client.md"
COPIED = ("coreserver", "webapp", "templates", "static", "tests", "pyproject.toml")
SETTINGS = "coreserver/config/personas.py"
REGISTER = "coreserver/clients/worker/personas/__init__.py"
SUMMARY = "Clients that send one message as soon as they are connected, without waiting for the greeting."
GROUP = {"kind": "eager", "count": 20, "message_bytes": 50_000}

# Ask the lab about the new persona over HTTP, in a process that has only the copy.
ASK_THE_LAB = """
import json, sys
from pathlib import Path
import httpx
from webapp.serving import embedded
from webapp.settings import Settings

settings = Settings(port=0, data_dir=Path(sys.argv[1]))
with embedded(settings) as url, httpx.Client(base_url=url, trust_env=False, timeout=90) as client:
    body = {"server": {"model": "bounded_pool", "workers": 2}, "clients": [json.loads(sys.argv[2])]}
    run = client.post("/api/v1/runs?wait_s=60", json=body).json()
    answer = {
        "form": client.get("/?kinds=eager").text,
        "schemas": client.get("/openapi.json").json()["components"]["schemas"],
        "report": client.get(run["links"]["report"]).json(),
        "page": client.get("/runs/" + str(run["id"])).status_code,
    }
print(json.dumps(answer))
"""


def python_blocks() -> list[tuple[str | None, str]]:
    """Return the page's Python blocks in order, each with the path that a line `path`: before it gives."""
    blocks = re.findall(r"(?:^`(\S+)`:\n\n)?^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [(path or None, code) for path, code in blocks]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a copy of the project and follow the steps of the page in it."""
    root = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    settings, union_line, client, import_line, entry, test = python_blocks()
    for path, code in (client, test):
        assert path is not None
        (root / path).write_text(code)
    personas = (root / SETTINGS).read_text()
    start = personas.index("PersonaGroup: TypeAlias")
    end = personas.index("\n)", start) + 1
    (root / SETTINGS).write_text(f"{personas[:start]}{settings[1]}\n\n{personas[start:end]}{union_line[1]})\n")
    register = (root / REGISTER).read_text()
    first_import = register.index("from coreserver.clients.worker.personas.flood")
    end = register.index("}", register.index("PERSONAS:"))
    (root / REGISTER).write_text(
        register[:first_import] + import_line[1] + register[first_import:end] + entry[1] + "}\n"
    )
    return root


def run(copy: Path, *argv: str) -> str:
    """Run Python in the copy, which precedes an installed checkout; fail with what it printed."""
    done = subprocess.run([sys.executable, *argv], cwd=copy, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_code_on_the_page_passes_lint(copy: Path) -> None:
    files = [SETTINGS, REGISTER, *(path for path, _ in python_blocks() if path)]
    run(copy, "-m", "ruff", "format", "--check", "--no-cache", *files)
    run(copy, "-m", "ruff", "check", "--no-cache", *files)


@pytest.mark.timeout(300)
def test_lab_offers_and_plays_the_persona(copy: Path, tmp_path: Path) -> None:
    answer: dict[str, Any] = json.loads(run(copy, "-c", ASK_THE_LAB, str(tmp_path), json.dumps(GROUP)))
    assert SUMMARY in answer["form"]
    assert 'name="clients.0.message_bytes"' in answer["form"]
    assert answer["schemas"]["EagerGroup"]["properties"]["kind"] == {
        "const": "eager",
        "title": "Kind",
        "type": "string",
    }
    assert answer["page"] == 200
    totals = answer["report"]["totals"]
    assert totals["connections"]["completed"] == 20
    assert totals["messages"]["verified"] == 20


@pytest.mark.timeout(300)
def test_command_plays_the_persona(copy: Path) -> None:
    options = ("--model", "sequential", "--group", json.dumps(GROUP), "--format", "json")
    report = json.loads(run(copy, "-c", "from webapp.cli.main import main; main()", "run", *options))
    assert report["totals"]["messages"]["verified"] == 20


@pytest.mark.timeout(300)
def test_test_of_the_page_passes(copy: Path) -> None:
    assert "1 passed" in run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_eager.py")
