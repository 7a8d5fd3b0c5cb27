"""The `serverlab` command, in this process or in a child process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

import webapp
from webapp.cli.main import build_app

ROOT = Path(webapp.__file__).parent.parent
APP = build_app()
COMMAND = [sys.executable, "-c", "from webapp.cli.main import main; main()"]


def environment(**more: str) -> dict[str, str]:
    """Return the environment without SERVERLAB_... variables, plus `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SERVERLAB_")}
    return kept | more


@dataclass(frozen=True)
class Ended:
    """Exit code and output of a command."""

    returncode: int
    stdout: str
    stderr: str


def serverlab(*arguments: str | Path, **env: str) -> Ended:
    """Run the command in this process: a child process takes a second to import everything."""
    cleared = {name: None for name in os.environ if name.startswith("SERVERLAB_")}
    result = CliRunner().invoke(APP, [str(argument) for argument in arguments], env={**cleared, **env})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


@contextlib.contextmanager
def started(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run the command in a child process for the duration of the block; it is killed at the end."""
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def serving(data_dir: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a lab in a child process; yields the process and the printed address."""
    with started("serve", "--port", "0", "--data-dir", data_dir, *arguments) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Serverlab is at http://127.0.0.1:"), line
        yield process, line.split()[-1]
