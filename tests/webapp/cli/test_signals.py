"""SIGINT and SIGTERM at every stage of a command."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.shell import ROOT, serverlab
from webapp.cli import run
from webapp.cli.signals import SignalGuard
from webapp.client import LabClient

LOAD = ("--clients", "2", "--duration", "200ms", "--client-processes", "1", "--format", "json")


def press(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_waits_for_safe_place(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with SignalGuard() as signals:
        with signals.interruptible():
            pass
        press(number)
        assert signals.is_signalled
        with pytest.raises(KeyboardInterrupt), signals.interruptible():
            pytest.fail("the signal before the block did not interrupt it")
    with SignalGuard() as another, pytest.raises(KeyboardInterrupt), another.interruptible():
        press(number)
        pytest.fail("the signal inside the block did not interrupt it")
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_second_signal_interrupts_anywhere() -> None:
    now = [0.0]
    with SignalGuard(clock=lambda: now[0]) as signals:
        press()
        now[0] = 0.4
        press()
        assert signals.is_signalled
        now[0] = 0.6
        with pytest.raises(KeyboardInterrupt):
            press()


@pytest.fixture
def interrupt_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str], None]:
    """Send SIGINT at the first call of a function, before it does anything."""

    def arrange(owner: Any, name: str) -> None:
        wrapped = getattr(owner, name)

        def pressed(*arguments: Any, **named: Any) -> Any:
            monkeypatch.setattr(owner, name, wrapped)
            press()
            return wrapped(*arguments, **named)

        monkeypatch.setattr(owner, name, pressed)

    return arrange


@pytest.mark.parametrize(
    ("owner", "name", "state"),
    [
        (LabClient, "run_spec", "cancelled"),  # the lab has the run, so it must be cancelled
        (LabClient, "get_run", "cancelled"),
        (LabClient, "report", "completed"),
        (run, "put", "completed"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_interrupted_request_prints_report(
    shared_url: str, interrupt_at: Callable[[Any, str], None], owner: Any, name: str, state: str
) -> None:
    interrupt_at(owner, name)
    ended = serverlab("run", *LOAD, "--url", shared_url)
    assert (ended.returncode, ended.stderr) == (130, "")
    assert json.loads(ended.stdout)["run"]["state"] == state


@pytest.mark.parametrize("name", ["version", "__enter__"])
def test_interrupt_before_request_has_no_report(
    shared_url: str, interrupt_at: Callable[[Any, str], None], name: str
) -> None:
    interrupt_at(LabClient, name)
    ended = serverlab("run", *LOAD, "--url", shared_url)
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == "serverlab: interrupted before there was anything to report\n"


def test_run_that_ignores_cancel_is_abandoned(shared_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(_: LabClient, run_id: int, timeout_s: float, **__: Any) -> None:
        if timeout_s == run.CANCEL_S:
            raise TimeoutError(f"run {run_id} is still running after {timeout_s:g} s")
        press()

    monkeypatch.setattr(LabClient, "wait", wait)
    ended = serverlab("run", *LOAD, "--url", shared_url)
    assert (ended.returncode, ended.stdout) == (130, "")
    assert re.fullmatch(r"serverlab: interrupted, but run \d+ is still running after 15 s\n", ended.stderr)


def test_interrupt_during_import_is_silent() -> None:
    code = """
import os, signal, sys
class Press:
    def find_spec(self, name, *_):
        if name == "webapp.cli.run":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press())
from webapp.cli.main import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
