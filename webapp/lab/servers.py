"""Servers of the lab: resources that outlive their model objects. After a restart of the lab they are stopped.

    stopped ─▶ starting ─▶ listening ─▶ draining ─▶ stopped
                  └─▶ stopped (with the reason)      listening ─▶ failed, when the model fails

One lock guards all phases and is not held while a server starts or stops. A thread that starts or stops a server sets
the phase first; other threads are then refused, or wait. Any thread may call any method.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

from pydantic import TypeAdapter, ValidationError

from coreserver.config.server import ServerOptions
from coreserver.errors import CannotStart, ConfigError, LifecycleError, PortInUse
from coreserver.hosting.host import ServerHost, host_for
from coreserver.models import ServerConfig
from coreserver.models.shared.base import State
from webapp.lab.change_feed import LAB, Feed
from webapp.lab.limits import check_server
from webapp.lab.server_entry import Entry, ServerLease, resource_of
from webapp.lab.server_snapshot import Look, Seen, look_at
from webapp.problems import Conflict, FieldError, Invalid, NotFound, Problem, Quota, Unavailable
from webapp.schemas.resources import Reason, ServerResource, ServerState
from webapp.settings import Settings
from webapp.storage.store import Store, now

log = logging.getLogger(__name__)

CONFIG: TypeAdapter[ServerOptions] = TypeAdapter(ServerConfig)


def start_host(config: ServerOptions) -> ServerHost:
    """Start a server with this config.

    Raises:
        Conflict: the port is in use.
        Invalid: another setting cannot be used on this machine.
        Unavailable: the machine cannot start the server, for example because it has no file descriptor left.
    After an error the server is stopped.
    """
    host = host_for(config)
    try:
        host.start()
    except BaseException as error:
        host.stop()
        if isinstance(error, ConfigError):
            kind = Conflict if isinstance(error, PortInUse) else Invalid
            raise kind(str(error), errors=[FieldError(error.field, str(error))]) from error
        if isinstance(error, CannotStart | OSError):
            raise Unavailable(f"the server cannot start: {error}") from error
        raise
    return host


class Servers:
    """All servers of the lab, by id.

    Any thread may call any method. `create`, `start`, `stop`, `delete` and `close` block until the server has started
    or stopped; `stop` and `delete` first wait for another thread that is starting or stopping the same server. The
    other methods return at once.

    `_moved` guards all entries and names, and is never held while a server starts, drains or stops. Methods with a
    `server_id` raise NotFound for an unknown server. A server of a run (`start_host` in `open_target`) is not listed
    here.
    """

    def __init__(self, settings: Settings, store: Store, feed: Feed) -> None:
        self._settings = settings
        self._store = store
        self._feed = feed
        self._moved = threading.Condition()  # guards everything below; notified after every start and stop
        self._entries: dict[int, Entry] = {}
        self._names: set[str] = set()  # including those of servers that are being created
        self._creating: list[ServerOptions] = []  # configs of servers that are being created
        self._closed = False
        for row in store.list_servers():
            self._restore(row.id, row.name, row.config, row.created_at)

    def _restore(self, server_id: int, name: str, config: Mapping[str, Any], created_at: str) -> None:
        try:
            self._entries[server_id] = Entry(server_id, name, CONFIG.validate_python(config), created_at)
        except ValidationError:  # written by a version with other options; the row is kept for that version
            log.warning("server %d is omitted: its stored config is not valid in this version", server_id)
        self._names.add(name)

    # --- reading -------------------------------------------------------------------------------------------------

    def all(self) -> list[ServerResource]:
        """Return all servers, oldest first."""
        with self._moved:
            return [resource_of(entry) for entry in self._entries.values()]

    def get(self, server_id: int) -> ServerResource:
        """Return one server.

        Raises:
            NotFound: there is no such server.
        """
        with self._moved:
            return resource_of(self._entry(server_id))

    def running(self) -> list[ServerOptions]:
        """Return the configs of all servers that are listening, starting or stopping."""
        with self._moved:
            return self._running()

    def host(self, server_id: int) -> ServerHost | None:
        """Return the host of a listening server; None if it is not listening."""
        with self._moved:
            entry = self._entry(server_id)
            return entry.host if entry.state == "listening" else None

    def look(self, server_id: int, seen: Seen) -> Look:
        """Return a snapshot of a server with its records since `seen`."""
        with self._moved:
            entry = self._entry(server_id)
            server, host = resource_of(entry), entry.host
        return look_at(server, host, seen)

    # --- changing -------------------------------------------------------------------------------------------------

    def create(self, config: ServerOptions) -> ServerResource:
        """Start a server and add it to the list.

        Raises:
            Conflict: the port or the name is in use.
            Invalid: a setting cannot be used on this machine.
            Quota, Unavailable: a limit of the lab or of the machine would be exceeded.
            StorageFull: the server could not be stored.
        After an error the server is stopped and not in the list.
        """
        name = self._reserve(config)
        host: ServerHost | None = None
        try:
            host = start_host(config)
            created_at = now()
            server_id = self._store.add_server(name, config.model_dump(mode="json"), created_at)
            with self._moved:
                self._refuse_when_closed()
                self._entries[server_id] = Entry(server_id, name, config, created_at, "listening", host)
        except BaseException:
            if host is not None:
                host.stop()
            with self._moved:
                self._names.discard(name)
            raise
        finally:
            with self._moved:
                self._creating.remove(config)
        self._feed.touch(LAB)
        return self.get(server_id)

    def start(self, server_id: int) -> ServerResource:
        """Start a stopped or failed server.

        Raises:
            Conflict: it is neither, or its port is in use.
            Invalid, Quota, Unavailable: as for `create`.
        After a failed start the server is stopped, with the reason.
        """
        with self._moved:
            self._refuse_when_closed()
            entry = self._entry(server_id)
            if entry.state not in ("stopped", "failed"):
                raise Conflict(f"server {server_id} is {entry.state}; only a stopped or failed server can be started")
            check_server(entry.config, self._running(), self._settings)
            before, entry.phase, entry.reason = entry.host, "starting", None
        self._feed.touch(LAB)
        host = before
        reason: Reason | None = Reason(code="start_failed", detail="the server could not be started")
        try:
            if before is not None:
                before.stop()  # a failed server may still hold its port
            host, reason = start_host(entry.config), None
        except Problem as problem:
            code = "port_in_use" if isinstance(problem, Conflict) else "start_failed"
            reason = Reason(code=code, detail=problem.detail)
            raise
        finally:
            self._settle(entry, "stopped" if reason else "listening", host, reason)
        return self.get(server_id)

    def stop(self, server_id: int, drain_s: float = 0.0) -> ServerResource:
        """Stop a server after draining it for at most `drain_s`. Does nothing if it is stopped."""
        with self._moved:
            entry = self._entry(server_id)
            self._moved.wait_for(lambda: not entry.is_moving)
            host = entry.host
            if entry.phase == "stopped" or host is None:
                return resource_of(entry)
            entry.phase, entry.reason = "draining", None
        self._feed.touch(LAB)
        self._end(entry, host, drain_s)
        return self.get(server_id)

    def delete(self, server_id: int) -> None:
        """Stop and delete a server.

        Raises:
            Conflict: a queued or running run uses it.
        """
        with self._moved:
            entry = self._entry(server_id)
            self._moved.wait_for(lambda: not entry.is_moving)
            self._entry(server_id)  # another thread may have deleted it meanwhile
            if entry.leases:
                raise Conflict(f"server {server_id} is used by a queued or running run; cancel the run first")
            host, entry.phase = entry.host, "draining"
        if host is not None:
            self._end(entry, host, 0.0)
        else:
            self._settle(entry, "stopped", None, None)
        self._store.delete_server(server_id)
        with self._moved:
            self._entries.pop(server_id, None)
            self._names.discard(entry.name)
        self._feed.touch(LAB)

    def close(self) -> None:
        """Stop all servers concurrently; afterwards none can be started."""
        with self._moved:
            self._closed = True
            ids = list(self._entries)
        if ids:
            with ThreadPoolExecutor(len(ids), thread_name_prefix="stopping") as pool:
                list(pool.map(self.stop, ids))

    # --- runs ----------------------------------------------------------------------------------------------------

    def lease(self, server_id: int) -> ServerLease:
        """Reserve a listening server for a run; end the lease with `release`.

        Raises:
            Conflict: it is not listening.
        """
        with self._moved:
            entry = self._entry(server_id, field_name="server.id")
            if entry.state != "listening":
                message = f"server {server_id} is {entry.state}; start it first"
                raise Conflict(message, errors=[FieldError("server.id", message)])
            lease = ServerLease(server_id, entry.config.model)
            entry.leases.add(lease)
            return lease

    def release(self, lease: ServerLease | None) -> None:
        """End a lease, if there is one."""
        if lease is not None:
            with self._moved:
                self._entries[lease.server_id].leases.discard(lease)

    # --- steps of the changes ---------------------------------------------------------------------------------------

    def _entry(self, server_id: int, field_name: str | None = None) -> Entry:
        if server_id not in self._entries:
            message = f"there is no server {server_id}"
            raise NotFound(message, errors=[FieldError(field_name, message)] if field_name else [])
        return self._entries[server_id]

    def _running(self) -> list[ServerOptions]:
        return [*self._creating, *(entry.config for entry in self._entries.values() if entry.is_up)]

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise Unavailable("the lab is closing")

    def _reserve(self, config: ServerOptions) -> str:
        """Reserve the name and the resources of a new server and return the name; `create` ends the reservation."""
        with self._moved:
            self._refuse_when_closed()
            limit = self._settings.max_servers
            if len(self._names) >= limit:
                raise Quota("max_servers", f"the lab has at most {limit} servers; delete one first")
            check_server(config, self._running(), self._settings)
            if config.name in self._names:
                message = "another server has this name; choose another"
                raise Conflict(f"name: {message}", errors=[FieldError("name", message)])
            generated = (f"{config.model}-{number}" for number in count(1))
            name = config.name or next(name for name in generated if name not in self._names)
            self._names.add(name)
            self._creating.append(config)
            return name

    def _end(self, entry: Entry, host: ServerHost, drain_s: float) -> None:
        """Drain and stop the host of an entry in phase draining, and set the final phase in any case."""
        try:
            if drain_s > 0:
                host.drain(drain_s)
        except LifecycleError:
            log.info("server %d had failed before it was drained", entry.id)
        finally:
            host.stop()
            failed = host.state is State.FAILED
            reason = Reason(code="failed", detail=host.failure or "it did not stop") if failed else None
            self._settle(entry, "failed" if failed else "stopped", host, reason)

    def _settle(self, entry: Entry, phase: ServerState, host: ServerHost | None, reason: Reason | None) -> None:
        with self._moved:
            entry.phase, entry.host, entry.reason = phase, host, reason
            self._moved.notify_all()
        self._feed.touch(LAB)
