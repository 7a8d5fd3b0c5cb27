"""Handle of the chart helper: send it one request at a time, or end it at any time."""

from __future__ import annotations

import base64
import json
import selectors
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from coreserver.child_process import Ending, ManagedChild, dispatch, interpreter
from coreserver.errors import CannotStart, ServerlabError

COMMAND = interpreter("webapp.charts.rendering.worker")


class ProcessEnded(ServerlabError):
    """The helper ended, or was ended, before it answered."""


class ProcessStuck(ServerlabError):
    """No answer within the deadline. End the helper, or its late answer will be read as that to the next request."""


class RenderFailed(ServerlabError):
    """The helper cannot render the chart; the message is the converter's."""


class ChartProcess:
    """A running `webapp.charts.rendering.worker`. `ask` serves one thread at a time; any thread may call `end`.

    Raises:
        CannotStart: the machine refuses a process.
    """

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._pieces: list[bytes] = []  # of the answer
        self._is_closed = False
        self._asking = threading.Lock()  # guards the pipes and the two above
        self._selector = selectors.DefaultSelector()
        try:
            self._child = ManagedChild(command, self._selector, self._pieces.append)
        except CannotStart:
            self._selector.close()
            raise

    @property
    def pid(self) -> int:
        """The process id of the helper."""
        return self._child.pid

    def ask(self, request: Mapping[str, Any], deadline_s: float) -> bytes:
        """Return the file that the helper makes of `request`, which `webapp.charts.rendering.worker` describes.

        Raises:
            RenderFailed, ProcessEnded, ProcessStuck
        """
        until_s = time.monotonic() + deadline_s
        with self._asking:
            if self._is_closed:
                raise ProcessEnded
            self._pieces.clear()
            self._child.send(json.dumps(request).encode() + b"\n")
            self._wait_answer(until_s)
            answer = json.loads(b"".join(self._pieces))
        if "error" in answer:
            raise RenderFailed(answer["error"])
        return base64.b64decode(answer["done"])

    def end(self) -> Ending:
        """Kill the helper, even during a request; it has ended when this returns."""
        ending = self._child.end()
        with self._asking:  # a thread in `ask` first reads the end of the output
            if not self._is_closed:
                self._is_closed = True
                self._child.close()
                self._selector.close()
        return ending

    def _wait_answer(self, until_s: float) -> None:
        while not (self._pieces and self._pieces[-1].endswith(b"\n")):
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise ProcessStuck
            if not self._child.is_stdout_open:
                raise ProcessEnded
            dispatch(self._selector, left_s)
