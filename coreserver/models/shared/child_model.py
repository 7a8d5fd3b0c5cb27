"""A server in its own process, with the interface of any other model.

    this process:   start ─ spawn, settings on stdin ─────▶ child: start the model
                    copy of its records    ◀─ telemetry ──         accept, serve …
                    drain ─ `drain SECONDS` ──────────────▶        drain, end

States, transitions and errors are those of every model; only the connections are in the child. The child receives the
deadline of a drain and decides which connections are cut off.
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
from coreserver.telemetry.remote_recorder import RemoteRecorder
from coreserver.telemetry.sampler import MAX_SAMPLES
from coreserver.telemetry.server_child import ServerChild


class ChildModel(ServerModel):
    """A model whose connections are served by a child process.

    By default the child runs the same Python model in another interpreter (`coreserver.hosting.server_process`); a
    design that is a separate program overrides `command` and `first_line`. The reader thread of `ServerChild` calls
    `_on_frame` and `_on_end`, which fill the recorder, the samples and the events that the other threads wait for. Any
    thread may call the public methods. A child that dies, stalls or sends invalid telemetry moves the model to `failed`
    and is killed; no child outlives `stop`.
    """

    start_deadline_s: ClassVar[float] = 10.0  # an interpreter needs 0.4 s on an idle core

    def __init__(self, config: ServerOptions) -> None:
        self._remote = RemoteRecorder()
        super().__init__(config, self._remote)
        self._child: ServerChild | None = None
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)
        self._begun = threading.Event()  # the child listens or has ended; then one of the two below is set
        self._listening: ServerAddress | None = None
        self._refusal: ServerlabError | None = None
        self._ended = threading.Event()  # the child has closed all connections or has ended
        self._drain_s = 0.0

    def command(self) -> list[str]:
        """Return the child program and its arguments.

        Raises:
            CannotStart: the program cannot be found or built.
        """
        return interpreter("coreserver.hosting.server_process")

    def first_line(self) -> str:
        """Return the first line for the stdin of the child, which starts no thread before it has read the line."""
        return self.config.model_dump_json()

    @property
    def pid(self) -> int | None:
        """The process id of the child; None before `start` and after the end of the child."""
        return self._child.pid if self._child is not None and not self._child.join(0) else None

    def samples(self, since_ns: int) -> list[Sample]:
        """Return the samples that the child took at or after `since_ns`, oldest first."""
        return [sample for sample in list(self._samples) if sample.at_ns >= since_ns]

    def snapshot(self) -> Snapshot:
        """Return the current counts, and the figures of the last sample."""
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
            if self._begun.is_set():  # else a refusal follows
                self._fail(frame.detail)
        else:
            if isinstance(frame, Event) and frame.kind == "detail":
                name, _, value = frame.detail.partition(": ")
                self.details[name] = value
            self._remote.apply(frame)

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
        self._remote.end_all(ServerOutcome.ERROR)
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
        self._drain_s = deadline_s
        return super()._end(deadline_s)

    def _stop_accepting(self) -> None:
        if self._child is not None:
            self._child.send(f"drain {self._drain_s:.6f}")

    def _wait_idle(self, deadline_s: float) -> bool:
        return self._child is None or self._ended.wait(deadline_s)

    def _cut_off(self) -> None:
        """Do nothing: the child cuts off at the deadline it received."""

    def _join(self, deadline_s: float) -> bool:
        child = self._child
        if child is None or child.join(deadline_s):
            return True
        child.kill("did not end after the drain")
        return child.join(deadline_s)
