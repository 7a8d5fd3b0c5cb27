"""Base of the designs that accept in one thread and serve with blocking calls.

accept thread:   wait for room ─ accept ─ on_accept(connection)      ← the design: which thread serves, and when
serving thread:  serve(connection, worker): greeting, replies … ─ close
"""

from __future__ import annotations

import socket
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from typing_extensions import override

from coreserver.config.server import ServerOptions
from coreserver.errors import CannotStart
from coreserver.models.shared.accept_loop import AcceptLoop, accept_queue_length, address_of, listen
from coreserver.models.shared.base import ServerAddress, ServerModel, Snapshot
from coreserver.models.shared.blocking_session import BlockingSession
from coreserver.models.shared.open_connections import EVENT_INTERVAL_S, Connection, ConnectionLimit, OpenConnections
from coreserver.records.server import ServerOutcome
from coreserver.telemetry.recorder import Recorder


class BlockingServer(ServerModel):
    """A model whose accept thread calls `on_accept` for every connection; subclasses decide which thread serves it.

    The thread that serves a connection calls `serve`, which blocks until the connection ends. A subclass that queues
    connections also overrides `queue_depth` and `abandon_queue`; one with a fixed set of threads starts them in
    `before_accepting`. Every accepted connection must reach exactly one of `serve`, `refuse` and `connections.close`.

    Args:
        connection_limit: limit on open connections, instead of `config.max_connections`; None: that limit applies.

    Attributes:
        connections: the open connections. Any thread may use it.
        cutting_off: set when the server cuts off its connections; ends work that sleeps or burns CPU.
        threads: all threads of the server, which are joined at the end.
    """

    support_threads: ClassVar[tuple[str, ...]] = ("acceptor",)

    def __init__(
        self, config: ServerOptions, recorder: Recorder | None = None, *, connection_limit: int | None = None
    ) -> None:
        super().__init__(config, recorder)
        self.connections = OpenConnections(self.recorder, ConnectionLimit(connection_limit or config.max_connections))
        self.cutting_off = threading.Event()
        self.threads = ThreadGroup()
        self._loop: AcceptLoop | None = None

    @abstractmethod
    def on_accept(self, connection: Connection) -> None:
        """Serve `connection`, pass it on, or refuse it. Must not raise.

        Called in the accept thread: while it blocks, nothing is accepted.
        """

    def queue_depth(self) -> int | None:
        """Return how many accepted connections wait for a worker; None for designs without a queue."""
        return None

    def threads_alive(self) -> int:
        """Return how many threads of this server have not ended."""
        return self.threads.alive()

    def before_accepting(self) -> None:
        """Start the threads that must exist before the first connection.

        Raises:
            CannotStart: a thread cannot be started.
        """

    def abandon_queue(self) -> None:
        """Close the connections that wait for a worker, as cut off, and make idle workers end. May be called twice."""

    # --- called by the design's threads ------------------------------------------------------------------------------

    def serve(self, connection: Connection, worker: str) -> None:
        """Serve `connection` to its end in this thread and close it. Never raises."""
        outcome = ServerOutcome.ERROR
        if connection.cut_off:
            self.connections.close(connection, ServerOutcome.CUT_OFF)
            return
        try:
            self.recorder.started(connection.record, worker)
            outcome = BlockingSession(connection, self.config, self.cutting_off).run()
        except Exception as error:
            self.recorder.event("error", f"serving failed: {type(error).__name__}: {error}")
        finally:
            self.connections.close(connection, outcome)

    def refuse(self, connection: Connection, why: str) -> None:
        """Close `connection` with a clean EOF and count it as refused. Accept thread only."""
        self.connections.release(connection, ServerOutcome.REFUSED)
        refused = self.recorder.totals().outcomes[ServerOutcome.REFUSED]
        self.recorder.event("refused", f"{refused} so far; {why}", every_s=EVENT_INTERVAL_S)
        if self._loop is not None:
            self._loop.refuse(connection.sock)

    # --- the life cycle of a ServerModel -------------------------------------------------------------------------

    def _open(self) -> ServerAddress:
        listener = listen(self.config.host, self.config.port, self.config.backlog)
        try:
            self._loop = AcceptLoop(
                listener,
                may_accept=self.connections.limit.may_accept,
                on_accept=self._register,
                on_pause=lambda reason: self.recorder.event("accept_paused", reason),
                on_failure=self._fail,
            )
            self.connections.limit.on_room = self._loop.wake
            self.before_accepting()
            self.threads.start("acceptor", self._loop.run)
        except (OSError, CannotStart) as error:
            self.abandon_queue()
            listener.close()
            if self._loop is not None:
                self._loop.free()
            self.threads.join(1.0)
            raise CannotStart(f"cannot get the resources that {self.config.model} needs to start: {error}") from error
        return address_of(listener)

    def _register(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        connection = self.connections.accept(sock, peer)
        if self.cutting_off.is_set():  # accepted after the listener was shut down, before cut_off_all
            self.connections.close(connection, ServerOutcome.CUT_OFF)
        else:
            self.on_accept(connection)

    def _stop_accepting(self) -> None:
        if self._loop is not None:
            self._loop.close()

    def _wait_idle(self, deadline_s: float) -> bool:
        return self.connections.wait_empty(deadline_s)

    def _cut_off(self) -> None:
        self.cutting_off.set()
        self.connections.cut_off_all()
        self.abandon_queue()

    def _join(self, deadline_s: float) -> bool:
        joined = self.threads.join(deadline_s)
        if joined and self._loop is not None:
            self._loop.free()
        self.connections.limit.close()
        return joined

    @override
    def snapshot(self) -> Snapshot:
        totals = self.recorder.totals()
        return Snapshot(
            state=self.state,
            totals=totals,
            threads_alive=self.threads_alive(),
            threads_busy=totals.in_service,
            queue_depth=self.queue_depth(),
            accept_queue=accept_queue_length(self._loop.listener) if self._loop else None,
        )


class ThreadGroup:
    """The threads of one server: start them by name, count them, join all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards both below
        self._alive: set[threading.Thread] = set()
        self._ended: deque[threading.Thread] = deque()

    def start(self, name: str, target: Callable[[], None]) -> None:
        """Run `target` in a new daemon thread.

        Raises:
            CannotStart: the system cannot start another thread.
        """
        self._reap()
        thread = threading.Thread(target=self._run, args=(target,), name=name, daemon=True)
        with self._lock:  # so that `join` never finds a thread that has not started
            try:
                thread.start()
            except RuntimeError as error:
                raise CannotStart(f"cannot start thread {name}: {error}") from error
            self._alive.add(thread)

    def alive(self) -> int:
        """Return how many threads have not ended."""
        with self._lock:
            return len(self._alive)

    def join(self, deadline_s: float) -> bool:
        """Wait at most `deadline_s` for every thread; return whether all have ended."""
        deadline = time.monotonic() + deadline_s
        with self._lock:
            waiting = [*self._alive, *self._ended]
            self._ended.clear()
        for thread in waiting:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in waiting)

    def _run(self, target: Callable[[], None]) -> None:
        try:
            target()
        finally:
            me = threading.current_thread()
            with self._lock:
                self._alive.discard(me)
                self._ended.append(me)

    def _reap(self) -> None:
        """Join the threads whose target has returned, so that none is dropped while it still runs."""
        with self._lock:
            ended = list(self._ended)
            self._ended.clear()
        for thread in ended:
            thread.join()
