"""The steps of docs/adding-a-model.md, followed on a copy, add a model that every part of the lab offers.

The copy gets a second model as well: a pool that serves the newest connection first, written with the conventions and
the queue of the page. It shows that the conformance suite assumes no order of service.
"""

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
PAGE = ROOT / "docs" / "adding-a-model.md"
COPIED = ("coreserver", "webapp", "templates", "static", "tests", "benchmarks", "pyproject.toml")
REGISTER = "coreserver/models/__init__.py"
NEWEST_FIRST = ROOT / "tests" / "support" / "newest_first.py"

# Ask the lab about the new models over HTTP, in a process that has only the copy.
ASK_THE_LAB = """
import json, sys
from pathlib import Path
import httpx
from webapp.serving import embedded
from webapp.settings import Settings

settings = Settings(port=0, data_dir=Path(sys.argv[1]), max_threads=20)
work = {"kind": "sleep", "mean_ms": 1.0, "per": "connection"}
group = {"kind": "open", "rate_per_s": 50.0, "duration_s": 0.5}
with embedded(settings) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
    answer = {
        "models": client.get("/api/v1/models").json()["models"],
        "page": client.get("/?model=round_robin").text,
        "server": client.post("/api/v1/servers", json={"model": "round_robin", "workers": 3}).json(),
    }
    for model in ("round_robin", "newest_first"):
        body = {"server": {"model": model, "workers": 2, "work": work}, "clients": [group]}
        run = client.post("/api/v1/runs?wait_s=30", json=body).json()
        answer[model] = client.get(run["links"]["report"]).json()
    past_the_limit = {"model": "newest_first", "workers": settings.max_threads}
    answer["refused"] = client.post("/api/v1/servers", json=past_the_limit).status_code
print(json.dumps(answer))
"""


def python_blocks() -> list[tuple[str | None, str]]:
    """Return the page's Python blocks in order, each with the path that a line `path`: before it gives."""
    blocks = re.findall(r"(?:^`(\S+)`:\n\n)?^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [(path or None, code) for path, code in blocks]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a copy of the project and follow the steps of the page in it; add the second model likewise."""
    root = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    model, import_line, entry, scenario = python_blocks()
    for path, code in (model, scenario):
        assert path is not None
        (root / path).write_text(code)
    shutil.copy(NEWEST_FIRST, root / "coreserver" / "models")
    register = root / REGISTER
    registered = add_to_register(register.read_text(), import_line[1], entry[1])
    second = "from coreserver.models.newest_first import NewestFirst\n"
    register.write_text(add_to_register(registered, second, '    "newest_first": NewestFirst,\n'))
    return root


def add_to_register(source: str, import_line: str, entry: str) -> str:
    """Return the list of models with an import and an entry added, as a person would write them."""
    first_import = source.index("from coreserver.models.")
    start = source.index("MODELS: dict")
    end = source.index("}", start)
    return source[:first_import] + import_line + source[first_import:end] + entry + source[end:]


def run(copy: Path, *argv: str) -> str:
    """Run Python in the copy, which must come before an installed checkout; fail with what it printed."""
    done = subprocess.run([sys.executable, *argv], cwd=copy, capture_output=True, text=True, timeout=290)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def answer(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(copy, "-c", ASK_THE_LAB, str(tmp_path_factory.mktemp("data"))))
    return found


def test_code_on_the_page_is_formatted(copy: Path) -> None:
    files = [str(copy / path) for path, _ in python_blocks() if path]
    run(copy, "-m", "ruff", "format", "--check", "--no-cache", *files)
    run(copy, "-m", "ruff", "check", "--no-cache", *files)


def test_lab_offers_and_starts_the_model(answer: dict[str, Any]) -> None:
    (model,) = (model for model in answer["models"] if model["name"] == "round_robin")
    assert model["summary"] == "One queue per worker; connections are dealt out in turn, however long the queues are."
    assert model["options"]["properties"]["workers"]["default"] == 8
    assert "threads that serve, each with its own queue" in answer["page"]
    assert answer["server"]["config"]["workers"] == 3
    assert answer["server"]["state"] == "listening"


@pytest.mark.parametrize(
    ("model", "discipline"), [("round_robin", None), ("newest_first", "last_come_first_served")], ids=str
)
def test_report_has_the_declared_facts(model: str, discipline: str | None, answer: dict[str, Any]) -> None:
    report = answer[model]
    assert report["verdict"]["status"] != "invalid", report["verdict"]
    assert report["server"]["worker_names"] == ["worker-1", "worker-2"]
    assert report["server"]["discipline"] == discipline
    assert report["theory"] is None  # only first come, first served is compared


def test_quota_counts_the_declared_threads(answer: dict[str, Any]) -> None:
    assert answer["refused"] == 429  # together with the three workers of the other server


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("model", ["round_robin", "newest_first"])
def test_model_passes_the_conformance_suite(model: str, copy: Path) -> None:
    tests = ["tests/conformance", "-k", model, "-n", "2"]  # most of it is waiting
    if model == "round_robin":
        tests.insert(0, "tests/coreserver/models/test_round_robin.py")
    summary = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests).splitlines()[-1]
    passed = re.match(r"(\d+) passed", summary)
    assert passed is not None, summary
    assert int(passed[1]) > 40, summary
