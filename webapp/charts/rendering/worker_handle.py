"""The process that draws charts, seen from the lab: ask it, or end it at any moment."""

from __future__ import annotations

import base64
import json
import os
import selectors
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any, cast

from coreserver.child_process import environment, interpreter

COMMAND = interpreter("webapp.charts.rendering.worker")
_CHUNK = 65536


class ProcessEnded(Exception):
    """It ended, or was ended, before it had answered."""


class ProcessStuck(Exception):
    """It has not answered in time; it must be ended, for its answer would be taken for the next one's."""


class CouldNotDraw(Exception):
    """It answered that it cannot; the message is the converter's."""


class ChartProcess:
    """A running `webapp.charts.rendering.worker`. One thread asks at a time; any may end it.

    Raises:
        OSError: the machine refuses a process.
    """

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        # A session of its own, so that Ctrl-C in a terminal reaches the lab alone, which then ends its children.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            env=environment(),
        )
        self._stdin = cast(IO[bytes], self._process.stdin)
        self._stdout = cast(IO[bytes], self._process.stdout)
        os.set_blocking(self._stdin.fileno(), False)
        self._asking = threading.Lock()  # held while the pipes are in use

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def ask(self, request: Mapping[str, Any], deadline_s: float) -> bytes:
        """What it makes of `request`; see `webapp.charts.rendering.worker` for what it can be asked.

        Raises:
            CouldNotDraw, ProcessEnded, ProcessStuck: as they say.
        """
        until = time.monotonic() + deadline_s
        with self._asking:
            if self._stdin.closed:
                raise ProcessEnded
            self._send(json.dumps(request).encode() + b"\n", until)
            answer = json.loads(self._line(until))
        if "error" in answer:
            raise CouldNotDraw(answer["error"])
        return base64.b64decode(answer["done"])

    def end(self) -> None:
        """Kill it, even in the middle of a picture; when this returns it is gone. May be called twice."""
        self._process.kill()
        self._process.wait()
        with self._asking:  # who asked has seen its end by now
            self._stdin.close()
            self._stdout.close()

    def _send(self, data: bytes, until: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdin, selectors.EVENT_WRITE)
            rest = memoryview(data)
            while rest:
                _wait(selector, until)
                try:
                    rest = rest[os.write(self._stdin.fileno(), rest[:_CHUNK]) :]
                except BrokenPipeError:
                    raise ProcessEnded from None

    def _line(self, until: float) -> bytes:
        pieces: list[bytes] = []
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while not (pieces and pieces[-1].endswith(b"\n")):
                _wait(selector, until)
                pieces.append(os.read(self._stdout.fileno(), _CHUNK))
                if not pieces[-1]:
                    raise ProcessEnded
        return b"".join(pieces)


def _wait(selector: selectors.BaseSelector, until: float) -> None:
    if not selector.select(max(0.0, until - time.monotonic())):
        raise ProcessStuck
