"""A server in a process of its own, driven from here like any other model.

    this process:   start ─ spawn, settings on stdin ─────▶ child: start the model
                    mirror of its records  ◀─ telemetry ──         accept, serve …
                    drain ─ `drain SECONDS` ──────────────▶        drain, end

The states, the moves and the errors are those of every model; only the connections are elsewhere. The child knows the
deadline of a drain, so it alone decides who is cut off.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import ClassVar

from coreserver.child_process import interpreter
from coreserver.config.server import ServerOptions
from coreserver.errors import CannotStart, ConfigError, PortInUse, ServerlabError
from coreserver.models.shared.base import Drained, ServerAddress, ServerModel, Snapshot
from coreserver.records.samples import Sample
from coreserver.records.server import Event, ServerOutcome
from coreserver.telemetry.frames import Ended, Frame, Listening, Refused
from coreserver.telemetry.remote_recorder import Mirror
from coreserver.telemetry.sampler import KEPT
from coreserver.telemetry.server_child import ServerChild


class ChildModel(ServerModel):
    """Runs the same Python model in another interpreter. A design that is a program of its own says its `command`."""

    start_deadline_s: ClassVar[float] = 10.0  # an interpreter takes 0.4 s to get there on a free core

    def __init__(self, config: ServerOptions) -> None:
        self._mirror = Mirror()
        super().__init__(config, self._mirror)
        self._child: ServerChild | None = None
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._begun = threading.Event()  # it listens, or never will; then one of the two below is set
        self._listening: ServerAddress | None = None
        self._refusal: ServerlabError | None = None
        self._ended = threading.Event()  # it has no connection any more, or is gone
        self._patience_s = 0.0

    def command(self) -> list[str]:
        """The child program. Raises CannotStart if there is none."""
        return interpreter("coreserver.hosting.server_process")

    def first_line(self) -> str:
        """What the child reads first; it starts no thread before."""
        return self.config.model_dump_json()

    @property
    def pid(self) -> int | None:
        """The process that serves; None before start and once it is gone."""
        return self._child.pid if self._child is not None and not self._child.join(0) else None

    def samples(self, since_ns: int) -> list[Sample]:
        """What the child measured of itself at or after `since_ns`, oldest first."""
        return [sample for sample in list(self._samples) if sample.at_ns >= since_ns]

    def snapshot(self) -> Snapshot:
        """The records of this instant, and the figures that the child sent last."""
        last = self._samples[-1] if self._samples and not self._ended.is_set() else None
        return Snapshot(
            state=self.state,
            totals=self.recorder.totals(),
            threads_alive=last.threads_alive if last else 0,
            threads_busy=last.threads_busy if last else 0,
            queue_depth=last.queue_depth if last else None,
            accept_queue=last.accept_queue if last else None,
        )

    # --- the reader's thread -------------------------------------------------------------------------------------

    def _on_frame(self, frame: Frame) -> None:
        if isinstance(frame, Sample):
            self._samples.append(frame)
        elif isinstance(frame, Listening):
            self._listening = ServerAddress(frame.host, frame.port)
            self._begun.set()
        elif isinstance(frame, Refused):
            self._refusal = self._error(frame)
        elif isinstance(frame, Ended):
            self._ended.set()
        elif isinstance(frame, Event) and frame.kind == "failed":
            if self._begun.is_set():  # else it comes back as a refusal
                self._fail(frame.detail)
        else:
            if isinstance(frame, Event) and frame.kind == "detail":
                name, _, value = frame.detail.partition(": ")
                self.details[name] = value
            self._mirror.apply(frame)

    def _error(self, refused: Refused) -> ServerlabError:
        if refused.code == "port_in_use":
            return PortInUse(self.config.host, self.config.port)
        if refused.code == "config":
            return ConfigError(refused.reason, field=refused.field)
        return CannotStart(refused.reason)

    def _on_end(self, how: str) -> None:
        if not self._begun.is_set():
            self._refusal = self._refusal or CannotStart(how)
            self._begun.set()
        elif not self._ended.is_set():
            self._fail(how)
        self._mirror.end_all(ServerOutcome.ERROR)
        self._ended.set()

    # --- the life of a ServerModel -------------------------------------------------------------------------------

    def _open(self) -> ServerAddress:
        child = ServerChild(self.command(), cpus=self.config.cpus, on_frame=self._on_frame, on_end=self._on_end)
        self._child = child
        child.send(self.first_line())
        self._begun.wait(self.start_deadline_s)
        if self._listening is not None:
            return self._listening
        child.kill(f"did not begin to listen within {self.start_deadline_s:g} s")
        child.join(self.start_deadline_s)
        raise self._refusal or CannotStart(f"the server process {child.pid} cannot be killed")

    def _end(self, deadline_s: float) -> Drained:
        self._patience_s = deadline_s
        return super()._end(deadline_s)

    def _stop_accepting(self) -> None:
        if self._child is not None:
            self._child.send(f"drain {self._patience_s:.6f}")

    def _wait_idle(self, deadline_s: float) -> bool:
        return self._child is None or self._ended.wait(deadline_s)

    def _cut_off(self) -> None:
        """The child does, at the deadline it was told."""

    def _join(self, deadline_s: float) -> bool:
        child = self._child
        if child is None or child.join(deadline_s):
            return True
        child.kill("did not end when told to")
        return child.join(deadline_s)
