"""Base class of all server models: states and transitions, facts about a design, and the interface of a model.

    new ──start──▶ listening ──drain──▶ draining ──▶ stopped
                       │                               ▲
                       ├──────────────stop─────────────┘
                       └──▶ failed (the reason is kept)

A model object is used once. Any thread may call `start`, `drain` and `stop`; a lock runs them one at a time. Any thread
may call `snapshot` at any time.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple

from coreserver.config.server import ServerOptions
from coreserver.errors import CannotStart, LifecycleError
from coreserver.records.server import DesignFacts, Discipline
from coreserver.telemetry.recorder import Recorder
from coreserver.telemetry.sampler import ServerFigures

STOP_DEADLINE_S = 3.0  # stop() returns within this and JOIN_DEADLINE_S, whatever peers do
JOIN_DEADLINE_S = 1.0


def numbered_workers(count: int) -> tuple[str, ...]:
    """Return the names of the workers of a pool: `worker-1` to `worker-<count>`."""
    return tuple(f"worker-{number}" for number in range(1, count + 1))


class ServerAddress(NamedTuple):
    """Address on which a server listens."""

    host: str
    port: int


class State(StrEnum):
    """State of a model."""

    NEW = "new"
    LISTENING = "listening"
    DRAINING = "draining"  # accepts no more; connections in flight may finish
    STOPPED = "stopped"
    FAILED = "failed"  # can no longer serve; `failure` has the reason


MOVES: Mapping[State, frozenset[State]] = {
    State.NEW: frozenset({State.LISTENING, State.STOPPED, State.FAILED}),
    State.LISTENING: frozenset({State.DRAINING, State.FAILED}),
    State.DRAINING: frozenset({State.STOPPED, State.FAILED}),
    State.STOPPED: frozenset(),
    State.FAILED: frozenset({State.STOPPED}),
}


@dataclass(frozen=True, slots=True)
class Drained:
    """Outcome of a drain: connections that ended by themselves, connections cut off at the deadline, duration."""

    finished: int
    cut_off: int
    took_s: float


@dataclass(frozen=True, slots=True)
class Snapshot(ServerFigures):
    """The figures of a model at one instant, and its state."""

    state: State


class ServerModel(ABC):
    """One server design, and one server of that design from `start` to `stop`.

    This class implements the life cycle. Subclasses implement how to open the listener, how to stop accepting, and how
    to end the remaining connections. `start`, `drain` and `stop` block; a lock runs them one at a time. `_fail` may be
    called by any thread, and moves the model to `failed` without stopping it; a later `stop` frees its resources.

    The class attributes and class methods are the facts about the design. Quotas, lanes, commands and reports read them
    here and never depend on the name of a model. The class methods take an instance of the model's own `Config`.

    Attributes:
        Config: the settings of the design.
        discipline: the order in which waiting connections are served; None if they do not wait in one queue.
        support_threads: names of the threads that accept or supervise and never serve.
        runs_on_one_core: whether all threads share one interpreter lock.
        details: choices made at start that the settings leave open, such as the event loop chosen for `auto`.
    """

    Config: ClassVar[type[ServerOptions]]
    discipline: ClassVar[Discipline | None] = None
    support_threads: ClassVar[tuple[str, ...]] = ()
    runs_on_one_core: ClassVar[bool] = True

    def __init__(self, config: ServerOptions, recorder: Recorder | None = None) -> None:
        self.config = config
        self.recorder = recorder or Recorder()
        self.address: ServerAddress | None = None
        self.failure: str | None = None
        self.details: dict[str, str] = {}
        self._state = State.NEW
        self._moving = threading.RLock()  # held during start, drain and stop, so that they never overlap
        self._state_lock = threading.Lock()  # guards _state and failure; never held while blocking

    # --- facts about the design ----------------------------------------------------------------------------------

    @classmethod
    def worker_names(cls, config: Any) -> tuple[str, ...]:
        """Return the names of the serving threads that are known before the start, one lane each.

        A fixed pool returns all its workers. A pool that grows returns those that it starts with, and numbers later
        ones after them. A design with one thread per connection returns none.
        """
        return ()

    @classmethod
    def max_threads(cls, config: Any) -> int | None:
        """Return the maximum number of serving threads; None if the settings do not limit them.

        By default it is the number of named workers or, if there are none, one thread per connection.
        """
        return len(cls.worker_names(config)) or config.max_connections

    @classmethod
    def facts(cls, config: ServerOptions) -> DesignFacts:
        """Return the facts about the design that a run stores with its records."""
        return DesignFacts(cls.discipline, cls.worker_names(config), cls.runs_on_one_core)

    # --- implemented by the design ----------------------------------------------------------------------------------

    @abstractmethod
    def _open(self) -> ServerAddress:
        """Bind and start to accept; return when clients are served."""

    @abstractmethod
    def _stop_accepting(self) -> None:
        """Close the listener, so that new connections are refused. Called once, also after a failure."""

    @abstractmethod
    def _wait_idle(self, deadline_s: float) -> bool:
        """Wait at most `deadline_s` until no connection is in flight; return whether none is."""

    @abstractmethod
    def _cut_off(self) -> None:
        """End every remaining connection, in service or waiting. Must not block on a peer."""

    @abstractmethod
    def _join(self, deadline_s: float) -> bool:
        """Wait at most `deadline_s` until threads, loops and children have ended, and free their resources."""

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """Return the figures of this instant."""

    # --- the life cycle, the same for every design -----------------------------------------------------------------

    @property
    def state(self) -> State:
        """The current state."""
        with self._state_lock:
            return self._state

    def start(self) -> ServerAddress:
        """Start the server; return its address, with the real port, when clients are served.

        Raises:
            LifecycleError: the model was started before.
            ConfigError, PortInUse, CannotStart: the server could not start; its sockets and threads are freed.
        """
        with self._moving:
            if self.state is not State.NEW:
                raise LifecycleError(f"start() while {self.state}; a model is started once")
            try:
                self.address = self._open()
            except BaseException as error:
                self._fail(str(error))
                raise
            if not self._try_move(State.LISTENING):  # it has failed since `_open` returned
                self._end(0.0)
                raise CannotStart(f"{self.config.model} failed immediately after its start: {self.failure}")
            return self.address

    def drain(self, deadline_s: float) -> Drained:
        """Stop accepting, let connections in flight finish for `deadline_s` seconds, cut off the rest, and stop.

        Raises:
            LifecycleError: the model is not listening.
        """
        with self._moving:
            if self.state is not State.LISTENING:
                raise LifecycleError(f"drain() while {self.state}; only a listening server can drain")
            return self._end(deadline_s)

    def stop(self) -> None:
        """Cut off every connection and stop within STOP_DEADLINE_S + JOIN_DEADLINE_S; a second call does nothing."""
        with self._moving:
            if self.state is State.NEW:
                self._move(State.STOPPED)
            elif self.state in (State.LISTENING, State.FAILED):
                self._end(0.0)

    def _end(self, deadline_s: float) -> Drained:
        began = time.monotonic()
        before = self.recorder.totals()
        self._try_move(State.DRAINING)
        self._stop_accepting()
        if deadline_s > 0:
            self._wait_idle(deadline_s)
        self._cut_off()
        self._wait_idle(STOP_DEADLINE_S)
        if not self._join(JOIN_DEADLINE_S):
            self._fail(f"threads were still alive {STOP_DEADLINE_S + JOIN_DEADLINE_S:g} s after stop")
        self._try_move(State.STOPPED)
        after = self.recorder.totals()
        cut_off = after.outcomes["cut_off"] - before.outcomes["cut_off"]
        ended = sum(after.outcomes.values()) - sum(before.outcomes.values())
        return Drained(finished=ended - cut_off, cut_off=cut_off, took_s=time.monotonic() - began)

    def _fail(self, reason: str) -> None:
        """Record that the design can no longer serve. Any thread may call it; the first reason is kept."""
        with self._state_lock:
            if self._state in (State.NEW, State.LISTENING, State.DRAINING):
                self._state = State.FAILED
                self.failure = self.failure or reason
        self.recorder.event("failed", reason)

    def _add_detail(self, name: str, value: str) -> None:
        """Add to `details`, and record it as an event, which a server process sends to its parent."""
        self.details[name] = value
        self.recorder.event("detail", f"{name}: {value}")

    def _move(self, to: State) -> None:
        if not self._try_move(to):
            raise LifecycleError(f"cannot go from {self.state} to {to}")

    def _try_move(self, to: State) -> bool:
        with self._state_lock:
            if to not in MOVES[self._state]:
                return False
            self._state = to
            return True
