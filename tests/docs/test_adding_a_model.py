"""docs/adding-a-model.md is true: its steps, followed on a copy, make a model that everything takes up."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adding-a-model.md"
COPIED = ("coreserver", "webapp", "templates", "static", "tests", "benchmarks", "pyproject.toml")
REGISTER = "coreserver/models/__init__.py"

# What the lab makes of the new model, asked over HTTP by a process that has only the copy.
ASK_THE_LAB = """
import json, sys
from pathlib import Path
import httpx
from webapp.serving import embedded
from webapp.settings import Settings

settings = Settings(port=0, data_dir=Path(sys.argv[1]))
with embedded(settings) as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
    models = client.get("/api/v1/models").json()["models"]
    page = client.get("/?model=round_robin").text
    server = client.post("/api/v1/servers", json={"model": "round_robin", "workers": 3})
print(json.dumps({"models": models, "page": page, "status": server.status_code, "server": server.json()}))
"""


def python_blocks() -> list[tuple[str | None, str]]:
    """The page's Python blocks in order, each with the path that a line `path`: before it gives."""
    blocks = re.findall(r"(?:^`(\S+)`:\n\n)?^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [(path or None, code) for path, code in blocks]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project after the steps of the page."""
    root = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    model, import_line, entry, story = python_blocks()
    for path, code in (model, story):
        assert path is not None
        (root / path).write_text(code)
    register = root / REGISTER
    register.write_text(registered(register.read_text(), import_line[1], entry[1]))
    return root


def registered(source: str, import_line: str, entry: str) -> str:
    """The list of models with the import and the entry of the page added, as a person would."""
    first_import = source.index("from coreserver.models.")
    start = source.index("MODELS: dict")
    end = source.index("}", start)
    return source[:first_import] + import_line + source[first_import:end] + entry + source[end:]


def run(copy: Path, *argv: str) -> str:
    """Runs Python in the copy, which must come before an installed checkout; fails with what it printed."""
    done = subprocess.run([sys.executable, *argv], cwd=copy, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_code_on_the_page_is_in_our_shape(copy: Path) -> None:
    files = [str(copy / path) for path, _ in python_blocks() if path]
    run(copy, "-m", "ruff", "format", "--check", "--no-cache", *files)
    run(copy, "-m", "ruff", "check", "--no-cache", *files)


def test_the_lab_offers_describes_and_starts_the_new_model(copy: Path, tmp_path: Path) -> None:
    answers = json.loads(run(copy, "-c", ASK_THE_LAB, str(tmp_path)))
    (model,) = (model for model in answers["models"] if model["name"] == "round_robin")
    assert (
        model["summary"] == "A queue for every worker; connections are dealt out in turn, however long the queues are."
    )
    assert model["options"]["properties"]["workers"]["default"] == 8
    assert "threads that serve, each with a queue of its own" in answers["page"]
    assert answers["status"] == 201
    assert answers["server"]["config"]["workers"] == 3
    assert answers["server"]["state"] == "listening"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_new_model_passes_conformance_and_its_own_story(copy: Path) -> None:
    tests = ("tests/conformance", "tests/test_round_robin.py", "-k", "round_robin", "-n", "2")  # most of it is waiting
    summary = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests).splitlines()[-1]
    passed = re.match(r"(\d+) passed", summary)
    assert passed is not None, summary
    assert int(passed[1]) > 20, summary
