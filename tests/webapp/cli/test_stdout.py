"""Output on closed pipes and full disks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.shell import ROOT, serverlab
from webapp.cli.stdout import CannotWrite

PUT = """
from webapp.cli.stdout import CannotWrite, put
try:
    put("x" * 99999)
except CannotWrite as error:
    raise SystemExit(str(error))
"""


def put(output: Any) -> tuple[int, str]:
    """Print a long line in a child process; return its exit code and its standard error."""
    ended = subprocess.run(
        [sys.executable, "-c", PUT], cwd=ROOT, stdout=output, stderr=subprocess.PIPE, text=True, check=False
    )
    return ended.returncode, ended.stderr


def test_full_disk_is_reported_once() -> None:
    with Path("/dev/full").open("w") as full:
        assert put(full) == (1, "the output could not be written: No space left on device\n")


def test_closed_pipe_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        assert put(closed) == (0, "")


def test_closed_streams_are_reopened() -> None:
    code = (
        "import os; from webapp.cli.main import _open_missing_streams as f; f(); raise SystemExit(str(os.open('/', 0)))"
    )
    command = f'exec {sys.executable} -c "{code}" <&- >&-'
    ended = subprocess.run(["sh", "-c", command], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    assert int(ended.stderr) > 2


def test_output_error_exits_1(shared_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: str) -> None:
        raise CannotWrite("the output could not be written: No space left on device")

    monkeypatch.setattr("webapp.cli.run.put", full)
    monkeypatch.setattr("webapp.cli.compare.put", full)
    monkeypatch.setattr(
        "webapp.cli.compare.fetch_comparison", lambda *_: SimpleNamespace(model_dump_json=lambda **_: "{}")
    )
    for command in (("run", "--duration", "100ms", "--url", shared_url), ("compare", "1", "2", "--format", "json")):
        ended = serverlab(*command)
        assert ended.returncode == 1
        assert ended.stderr == "serverlab: the output could not be written: No space left on device\n"
