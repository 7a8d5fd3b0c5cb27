"""Base of the event-driven designs: one thread that runs a loop, and the life cycle around it.

    loop thread:    accept_some ─ begin(connection)      ← the design: how it reads, writes and waits
                    … readiness, timers, limits …
    other threads:  in_loop(callback)

Only the loop's thread touches sessions.
"""

from __future__ import annotations

import errno
import socket
import threading
from abc import abstractmethod
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Generic, TypeVar

from typing_extensions import override

from coreserver.clock import NS_PER_S, now_ns
from coreserver.config.server import ServerOptions
from coreserver.errors import CannotStart
from coreserver.models.shared.accept_loop import EXHAUSTED, PAUSE_S, TRANSIENT, accept_queue_length, address_of, listen
from coreserver.models.shared.base import ServerAddress, ServerModel, Snapshot
from coreserver.models.shared.event_driven_session import EventDrivenSession, SessionLimits
from coreserver.models.shared.open_connections import Connection, ConnectionLimit, OpenConnections
from coreserver.models.shared.timer_wheel import TimerWheel
from coreserver.records.server import ServerOutcome
from coreserver.telemetry.recorder import Recorder
from coreserver.timerfd import Timers

# Accepts per turn of the loop: enough for a burst of connections, and few enough to serve other clients in between.
ACCEPT_BATCH = 64
WORKER = "loop"

SessionT = TypeVar("SessionT", bound=EventDrivenSession)


class EventDrivenServer(ServerModel, Generic[SessionT]):
    """A model that serves every connection in one thread with an event loop. Subclasses implement the loop.

    This class accepts, applies the limits of connections, and starts and stops the loop. Sessions, timers and deadlines
    belong to the loop's thread and need no lock; other threads reach them only through `in_loop`. An error in one
    session ends that session; an exception that leaves `run_loop` makes the server fail.

    Attributes:
        connections: the open connections. Any thread may use it.
        cutting_off: set when the server cuts off its connections; ends CPU work in the loop's thread.
        limits: the settings that all sessions share.
        deadlines: the timer of each session that has a timeout or a session limit.
        resources: what `set_up` created; freed when the loop's thread has ended or was never started.
        timers: exact timers, which the loop must serve; see `set_up`.
    """

    @classmethod
    @override
    def worker_names(cls, config: ServerOptions) -> tuple[str, ...]:
        return (WORKER,)

    def __init__(self, config: ServerOptions, recorder: Recorder | None = None) -> None:
        super().__init__(config, recorder)
        self.connections = OpenConnections(self.recorder, ConnectionLimit(config.max_connections))
        self.cutting_off = threading.Event()
        self.limits = SessionLimits.of(config, self.cutting_off)
        self.deadlines: TimerWheel[SessionT] = TimerWheel(self.call_at, self._check_limits)
        self.resources = ExitStack()
        self._thread = threading.Thread(target=self._run, name=WORKER, daemon=True)
        self._listener: socket.socket | None = None
        self._watching = False  # whether the loop watches the listener; loop thread only
        self._closing = False  # the listener is closed or about to be; set once
        self._shortage = False  # an accept failed for lack of resources, and none has succeeded since

    # --- implemented by the design; called in the loop's thread unless stated otherwise -------------------

    @abstractmethod
    def set_up(self) -> None:
        """Create the loop, and register with `resources` how to free it. Called in the thread that calls `start`.

        The loop must call `timers.ready` whenever `timers.fd` is readable.
        """

    @abstractmethod
    def run_loop(self) -> None:
        """Serve until `end_loop` is called, then call `end_all`."""

    @abstractmethod
    def end_loop(self) -> None:
        """Make `run_loop` return."""

    @abstractmethod
    def in_loop(self, callback: Callable[[], None]) -> None:
        """Schedule `callback` in the loop's thread. Any thread may call it, also after the loop has ended."""

    @abstractmethod
    def watch(self, listener: socket.socket) -> None:
        """Call `accept_some` whenever the listener is readable."""

    @abstractmethod
    def unwatch(self, listener: socket.socket) -> None:
        """Stop watching the listener."""

    @abstractmethod
    def begin(self, connection: Connection) -> None:
        """Greet and serve `connection`. Must not raise."""

    @abstractmethod
    def end(self, session: SessionT, outcome: ServerOutcome) -> None:
        """Close the connection, discarding unsent replies, and complete its record."""

    @abstractmethod
    def end_all(self, outcome: ServerOutcome) -> None:
        """End every remaining session."""

    # --- the clock; in the loop's thread -------------------------------------------------------------------------

    def call_at(self, due_ns: int, callback: Callable[[], None]) -> None:
        """Call `callback` at `due_ns` on the lab's clock: never earlier, and later only if the loop is busy.

        Uses a timerfd, because the loops' own timers have a resolution of one millisecond.
        """
        self.timers.at(due_ns, callback)

    # --- accepting; in the loop's thread -------------------------------------------------------------------------

    def accept_some(self) -> None:
        """Accept at most ACCEPT_BATCH connections; stop watching the listener if there is no room for more."""
        for _ in range(ACCEPT_BATCH):
            if self._closing or self._listener is None:
                return
            if not self.connections.limit.may_accept():
                self._unwatch_listener()  # until on_room
                return
            try:
                sock, peer = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._on_accept_error(error)
                return
            self._shortage = False
            self._register(sock, (peer[0], peer[1]))

    def _register(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        connection = self.connections.accept(sock, peer)
        if self.cutting_off.is_set():
            self.connections.close(connection, ServerOutcome.CUT_OFF)
        else:
            self.begin(connection)

    def _on_accept_error(self, error: OSError) -> None:
        if error.errno in EXHAUSTED:
            if not self._shortage:
                self.recorder.event("accept_paused", f"accept paused: {error.strerror}")
            self._shortage = True
            self._unwatch_listener()
            self.call_at(now_ns() + int(PAUSE_S * NS_PER_S), self._watch_listener)
        elif error.errno not in TRANSIENT and not self._closing:
            self._fail(f"accept failed: {errno.errorcode.get(error.errno or 0, error.errno)}")
            self._close_listener()

    def _watch_listener(self) -> None:
        if self._listener is not None and not self._watching and not self._closing:
            self._watching = True
            self.watch(self._listener)

    def _unwatch_listener(self) -> None:
        if self._listener is not None and self._watching:
            self._watching = False
            self.unwatch(self._listener)

    def _close_listener(self) -> None:
        self._closing = True
        self._unwatch_listener()
        if self._listener is not None:
            self._listener.close()

    # --- the limits of a connection; in the loop's thread --------------------------------------------------------

    def _check_limits(self, session: SessionT) -> None:
        if session.connection.ended:
            return
        if outcome := session.overdue():
            self.end(session, outcome)
        else:
            self.deadlines.set(session, session.due_ns())

    # --- the life cycle of a ServerModel -------------------------------------------------------------------------

    def _open(self) -> ServerAddress:
        self._listener = listen(self.config.host, self.config.port, self.config.backlog)
        try:
            self.timers = Timers()
            self.resources.callback(self.timers.close)
            self.set_up()
            self.connections.limit.on_room = lambda: self.in_loop(self._watch_listener)
            self.in_loop(self._watch_listener)
            self._thread.start()
        except (OSError, RuntimeError) as error:
            self._free()
            raise CannotStart(f"cannot get the resources that {self.config.model} needs to start: {error}") from error
        except BaseException:
            self._free()
            raise
        return address_of(self._listener)

    def _run(self) -> None:
        try:
            self.run_loop()
        except Exception as error:
            self._fail(f"the loop ended: {type(error).__name__}: {error}")
        finally:
            self._closing = True
            if self._listener is not None:
                self._listener.close()

    def _stop_accepting(self) -> None:
        self._closing = True
        if self._listener is not None:
            # From here on the kernel refuses new connections, even while the loop is busy; the loop closes the socket.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self.in_loop(self._close_listener)

    def _wait_idle(self, deadline_s: float) -> bool:
        return self.connections.wait_empty(deadline_s)

    def _cut_off(self) -> None:
        self.cutting_off.set()
        self.connections.cut_off_all()
        if self._thread.ident is not None:
            self.in_loop(lambda: self.end_all(ServerOutcome.CUT_OFF))

    def _join(self, deadline_s: float) -> bool:
        if self._thread.ident is not None:
            self.in_loop(self.end_loop)
            self._thread.join(deadline_s)
            if self._thread.is_alive():
                return False
            self.resources.close()
        self.connections.limit.close()
        return True

    def _free(self) -> None:
        self.resources.close()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    @override
    def snapshot(self) -> Snapshot:
        return Snapshot(
            state=self.state,
            totals=self.recorder.totals(),
            threads_alive=int(self._thread.is_alive()),
            threads_busy=None,
            queue_depth=None,
            accept_queue=accept_queue_length(self._listener) if self._listener else None,
        )
