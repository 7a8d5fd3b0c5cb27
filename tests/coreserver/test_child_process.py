"""Managed children, here shell scripts: their output, their process tree and every way to end."""

from __future__ import annotations

import os
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from coreserver.child_process import MAX_KEPT_BYTES, ManagedChild, dispatch
from coreserver.errors import CannotStart
from coreserver.process_tree import read_stat

DEADLINE_S = 30.0  # deadline for events that are immediate on a quiet machine
ECHO = "while read line; do echo $line; done"


class Spawn(Protocol):
    """Starts a child that runs a shell script."""

    def __call__(self, script: str, on_output: Callable[[bytes], object] | None = None, **options: Any) -> ManagedChild:
        """Return the child; the test ends it."""


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as selector:
        yield selector


@pytest.fixture
def spawn(selector: selectors.BaseSelector) -> Iterator[Spawn]:
    with ExitStack() as stack:

        def start(script: str, on_output: Callable[[bytes], object] | None = None, **options: Any) -> ManagedChild:
            child = ManagedChild(["sh", "-c", script], selector, on_output, **options)
            stack.callback(child.close)
            stack.callback(child.end)
            return child

        yield start


def read_until(selector: selectors.BaseSelector, condition: Callable[[], object]) -> None:
    until = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < until
        dispatch(selector, 0.05)


def pids(output: bytearray, count: int, selector: selectors.BaseSelector) -> list[int]:
    """Read the process ids that a child prints, one per line."""
    read_until(selector, lambda: output.count(b"\n") >= count)
    return [int(line) for line in output.split()]


def is_alive(pid: int) -> bool:
    stat = read_stat(pid)
    return stat is not None and stat.is_alive


def wait_gone(pids: list[int]) -> None:
    until = time.monotonic() + DEADLINE_S
    while any(map(is_alive, pids)):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_output_and_exit_code_are_reported(spawn: Spawn, selector: selectors.BaseSelector) -> None:
    output = bytearray()
    child = spawn("echo out; echo err >&2; exit 7", output.extend)
    read_until(selector, lambda: not child.is_stdout_open)
    ending = child.wait(DEADLINE_S)
    assert ending is not None
    assert output == b"out\n"
    assert (ending.code, ending.last_lines) == (7, ("err",))
    assert str(ending) == "ended with exit code 7"


def test_instant_death_keeps_last_lines(spawn: Spawn) -> None:
    child = spawn("echo gone >&2; kill -SEGV $$", lambda _: None)
    ending = child.wait(DEADLINE_S)
    assert ending is not None
    assert ending.last_lines == ("gone",)
    assert str(ending) == "was killed by SIGSEGV"
    assert child.end("too late") == ending


def test_stdout_joins_last_lines(spawn: Spawn) -> None:
    ending = spawn("echo one; echo two >&2; echo three").wait(DEADLINE_S)
    assert ending is not None
    assert ending.last_lines == ("one", "two", "three")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_of_1_gb_is_bounded(stream: str, spawn: Spawn, selector: selectors.BaseSelector) -> None:
    program = f"for _ in range(1024): os.write(sys.{stream}.fileno(), bytes(1 << 20))"
    child = spawn(f"exec {sys.executable} -c 'import os, sys\n{program}'")
    read_until(selector, lambda: not child.is_stdout_open)
    ending = child.wait(DEADLINE_S)
    assert ending is not None
    assert ending.code == 0
    assert len("".join(ending.last_lines)) == MAX_KEPT_BYTES


def test_ignored_term_leads_to_kill(spawn: Spawn, selector: selectors.BaseSelector) -> None:
    output = bytearray()
    child = spawn("trap '' TERM; echo ready; while :; do sleep 1; done", output.extend)
    read_until(selector, lambda: output)
    assert str(child.end("took too long", grace_s=0.2)) == "took too long and was killed"
    assert not is_alive(child.pid)


def test_term_lets_the_child_finish(spawn: Spawn, selector: selectors.BaseSelector) -> None:
    output = bytearray()
    child = spawn("trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done", output.extend)
    read_until(selector, lambda: output)
    ending = child.end("too late", grace_s=DEADLINE_S)
    assert (ending.code, ending.reason) == (5, "")


def test_stopped_child_is_killed(spawn: Spawn) -> None:
    child = spawn("sleep 600")
    os.kill(child.pid, signal.SIGSTOP)
    assert child.end().code == -signal.SIGKILL


def test_grandchildren_are_killed(spawn: Spawn, selector: selectors.BaseSelector) -> None:
    output = bytearray()
    child = spawn("sleep 600 & echo $!; setsid sh -c 'echo $$; sleep 600' & sleep 600", output.extend)
    grandchildren = pids(output, 2, selector)
    child.end()
    wait_gone(grandchildren)


def test_exit_leaves_no_grandchild(spawn: Spawn, selector: selectors.BaseSelector) -> None:
    output = bytearray()
    child = spawn("sleep 600 & echo $!", output.extend)
    grandchildren = pids(output, 1, selector)
    ending = child.wait(DEADLINE_S)
    assert ending is not None
    assert ending.code == 0
    wait_gone(grandchildren)


def test_closed_lifeline_ends_child(spawn: Spawn, selector: selectors.BaseSelector) -> None:
    output = bytearray()
    child = spawn(ECHO, output.extend)
    child.send(b"hello\n")
    read_until(selector, lambda: output == b"hello\n")
    assert child.wait(0) is None
    child.close_stdin()
    ending = child.wait(DEADLINE_S)
    assert ending is not None
    assert ending.code == 0
    child.send(b"dropped\n")


def test_large_input_does_not_block(spawn: Spawn, selector: selectors.BaseSelector) -> None:
    output = bytearray()
    child = spawn("exec cat", output.extend)
    data = os.urandom(3_000_000)
    child.send(data)
    read_until(selector, lambda: len(output) == len(data))
    assert output == data


def test_no_lifeline_means_empty_stdin(spawn: Spawn) -> None:
    ending = spawn(f"{ECHO}; echo end of input", has_stdin=False).wait(DEADLINE_S)
    assert ending is not None
    assert ending.last_lines == ("end of input",)


def test_kill_from_two_threads(spawn: Spawn) -> None:
    child = spawn("sleep 600")
    endings = []
    threads = [threading.Thread(target=lambda: endings.append(child.end("was silent"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert [str(ending) for ending in endings] == ["was silent and was killed"] * 2
    child.kill("again")
    assert child.end() == endings[0]


def test_child_has_its_own_session(spawn: Spawn) -> None:
    child = spawn("sleep 600")
    assert os.getsid(child.pid) == child.pid


def test_child_runs_on_the_given_cpus(spawn: Spawn) -> None:
    cpu = min(os.sched_getaffinity(0))
    assert os.sched_getaffinity(spawn("sleep 600", cpus=[cpu]).pid) == {cpu}


def test_unknown_program_cannot_start(selector: selectors.BaseSelector) -> None:
    with pytest.raises(CannotStart, match="no-such-program: No such file"):
        ManagedChild(["/no-such-program"], selector, None)


def test_unusable_cpus_leave_no_process(selector: selectors.BaseSelector) -> None:
    with pytest.raises(CannotStart, match="cannot run sleep"):
        ManagedChild(["sleep", "600"], selector, None, cpus=[])
