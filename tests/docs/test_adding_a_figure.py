"""The steps of docs/adding-a-figure.md, followed on a copy, add a figure that every part of the lab shows."""

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
PAGE = ROOT / "docs" / "adding-a-figure.md"
COPIED = ("coreserver", "webapp", "templates", "static", "tests", "docs", "pyproject.toml")
TOTALS, SCHEMA, VOCABULARY = (f"coreserver/reports/{name}.py" for name in ("totals", "schema/figures", "vocabulary"))
DEFINITIONS = "coreserver/reports/schema/definitions.py"
TEST = "tests/coreserver/reports/test_first_greeting.py"
EXPLANATION = "first connection due to first greeting read; null if no client was greeted"

# Ask the lab for the figure over HTTP, in a process that has only the copy.
ASK_THE_LAB = """
import json, sys
from pathlib import Path
import httpx
from webapp.serving import embedded
from webapp.settings import Settings

settings = Settings(port=0, data_dir=Path(sys.argv[1]))
with embedded(settings) as url, httpx.Client(base_url=url, trust_env=False, timeout=90) as client:
    body = {"server": {"model": "sequential"}, "clients": [{"kind": "script", "count": 3, "script": [{"send": "^a$"}]}]}
    runs = [client.post("/api/v1/runs?wait_s=60", json=body).json() for _ in range(2)]
    report = client.get(runs[0]["links"]["report"]).json()
    older = json.loads(client.get(runs[0]["links"]["report_json"]).text)
    for part in (older, *older["groups"]):
        del part["totals"]["first_greeting_ms"]
    imported = client.post("/api/v1/runs/import", json=older)
    again = client.get(imported.json()["links"]["report_json"])
    answer = {
        "report": report,
        "schema": client.get("/api/v1/report.schema.json").json(),
        "comparison": client.get("/api/v1/compare?run=1&run=2").json(),
        "pages": [client.get(path).text for path in ("/runs/1", "/compare?run=1&run=2")],
        "imports": [imported.status_code, client.post("/api/v1/runs/import", json=again.json()).status_code],
    }
print(json.dumps(answer))
"""


def insert(path: Path, anchor: str, text: str, *, before: bool = False) -> None:
    """Insert text next to the line that begins with `anchor`."""
    lines = path.read_text().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.startswith(anchor))
    lines.insert(at if before else at + 1, text)
    path.write_text("".join(lines))


def raise_version(definitions: Path) -> None:
    text = re.sub(r"(?<=^SCHEMA_VERSION = )\d+", lambda old: str(int(old[0]) + 1), definitions.read_text(), flags=re.M)
    definitions.write_text(text)


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
    function, argument, field, entry, test = re.findall(
        r"^```(?:python|text)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    insert(root / TOTALS, "def _connection_counts", f"{function}\n\n", before=True)
    insert(root / TOTALS, "        peak_in_service=", argument)
    insert(root / TOTALS, "from coreserver.clock import", "from coreserver.clock import milliseconds\n")
    insert(root / SCHEMA, "    peak_in_service:", field)
    insert(root / VOCABULARY, '                "largest number of connections in service', entry)
    (root / TEST).write_text(test)
    raise_version(root / DEFINITIONS)
    for module in ("docs.report_schema", "docs.glossary_figures", "tests.support.golden"):
        run(root, "-m", module)
    run(root, "-m", "ruff", "check", "--fix", "--no-cache", "-q", TOTALS)  # merge the two imports from one module
    return root


def run(copy: Path, *argv: str) -> str:
    """Run Python in the copy, which precedes an installed checkout; fail with what it printed."""
    done = subprocess.run([sys.executable, *argv], cwd=copy, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_code_on_the_page_passes_lint(copy: Path) -> None:
    files = (TOTALS, SCHEMA, VOCABULARY, TEST)
    run(copy, "-m", "ruff", "format", "--check", "--no-cache", *files)
    run(copy, "-m", "ruff", "check", "--no-cache", *files)


@pytest.mark.timeout(300)
def test_lab_shows_the_figure_everywhere(copy: Path, tmp_path: Path) -> None:
    answer: dict[str, Any] = json.loads(run(copy, "-c", ASK_THE_LAB, str(tmp_path)))
    assert answer["report"]["totals"]["first_greeting_ms"] > 0
    assert answer["report"]["groups"][0]["totals"]["first_greeting_ms"] > 0
    assert answer["schema"]["$defs"]["Totals"]["properties"]["first_greeting_ms"]["description"] == EXPLANATION
    [figure] = [one for one in answer["comparison"]["figures"] if one["name"] == "totals.first_greeting_ms"]
    assert (figure["label"], figure["unit"], figure["better"]) == ("first greeting", "ms", "lower")
    assert all("first greeting" in page for page in answer["pages"])
    assert answer["imports"] == [201, 201]  # a report that does not have it


@pytest.mark.timeout(300)
def test_command_prints_and_judges_the_figure(copy: Path) -> None:
    options = ("--model", "sequential", "--clients", "2", "--slo", "first_greeting_ms<60000")
    printed = run(copy, "-c", "from webapp.cli.main import main; main()", "run", *options)
    assert re.search(r"^objective    first_greeting_ms<60000 met: ", printed, re.MULTILINE)
    assert re.search(r"^first greeting [\d.]+ ", printed, re.MULTILINE)


def test_documents_describe_the_figure(copy: Path) -> None:
    assert EXPLANATION in (copy / "docs" / "glossary.md").read_text()
    assert EXPLANATION in (copy / "docs" / "report.schema.json").read_text()


@pytest.mark.timeout(300)
def test_tests_of_page_and_vocabulary_pass(copy: Path) -> None:
    tests = (TEST, "tests/coreserver/reports/test_vocabulary.py", "tests/coreserver/reports/schema/test_upgrades.py")
    assert "passed" in run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
