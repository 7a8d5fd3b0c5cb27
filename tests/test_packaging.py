"""The wheel contains everything that the lab needs: unpacked in any folder, it serves a styled page."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[1]
SERVE = "import sys; from webapp.cli.main import main; sys.argv[0] = 'serverlab'; main()"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as `make wheel` does and return its path."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("serverlab-*.whl")
    return path


@pytest.fixture
def address(wheel: Path, tmp_path: Path) -> Iterator[str]:
    """Run a lab from the unpacked wheel in the folder `/`, with its own data, and yield its address."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    command = [sys.executable, "-P", "-c", SERVE, "serve", "--port", "0", "--data-dir", str(tmp_path / "data")]
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd="/", env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as lab:
        try:
            yield read_address(lab)
        finally:
            lab.send_signal(signal.SIGTERM)
            lab.communicate(timeout=20)


def read_address(lab: subprocess.Popen[bytes]) -> str:
    """Read the output of the lab until it prints its address."""
    assert lab.stdout is not None
    printed = ""
    for line in lab.stdout:
        printed += line.decode()
        if found := re.search(r"http://127\.0\.0\.1:[1-9]\d*", printed):
            return found[0]
    raise AssertionError(f"the lab ended without an address:\n{printed}")


def files_below(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize(
    ("source", "in_wheel"),
    [
        ("coreserver", "coreserver"),
        ("webapp", "webapp"),
        ("templates", "webapp/templates"),
        ("static", "webapp/static"),
    ],
)
def test_wheel_contains_every_file(wheel: Path, source: str, in_wheel: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {f"{in_wheel}/{name}" for name in files_below(ROOT / source)}
    assert expected
    assert expected <= names


def test_unpacked_wheel_serves_a_page(address: str) -> None:
    with httpx.Client(base_url=address, trust_env=False) as browser:
        page = browser.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        sheets = re.findall(r'<link[^>]+rel="stylesheet"[^>]*href="([^"]+)"', page.text)
        scripts = re.findall(r'<script[^>]+src="([^"]+)"', page.text)
        assert sheets
        for asset in sheets + scripts:
            response = browser.get(asset)
            assert response.status_code == 200, asset
            assert response.headers["content-type"].startswith(("text/css", "text/javascript")), asset
            assert response.text.strip(), asset
