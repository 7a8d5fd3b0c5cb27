"""The servers of the lab: resources that outlive their models, and survive a restart of the lab as stopped.

    stopped ─▶ starting ─▶ listening ─▶ draining ─▶ stopped
                  └─▶ stopped (with the reason)      listening ─▶ failed, when its model says so

One lock guards every phase and is never held while a server starts or stops: whoever moves a server first marks it as
moving, and others are refused or wait. Any thread may call any method.
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
from webapp.lab.limits import refuse_too_much
from webapp.lab.server_entry import Entry, ServerLease, resource_of
from webapp.lab.server_snapshot import Look, Seen, look_at
from webapp.problems import Conflict, FieldError, Invalid, NotFound, Problem, Quota, Unavailable
from webapp.schemas.resources import Reason, ServerResource, ServerState
from webapp.settings import Settings
from webapp.storage.store import Store, now

log = logging.getLogger(__name__)

CONFIG: TypeAdapter[ServerOptions] = TypeAdapter(ServerConfig)


def start_host(config: ServerOptions) -> ServerHost:
    """A listening server with this config.

    Raises:
        Conflict, Invalid, Unavailable: it could not start; nothing was left behind.
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
    """All server resources."""

    def __init__(self, settings: Settings, store: Store, feed: Feed) -> None:
        self._settings = settings
        self._store = store
        self._feed = feed
        self._moved = threading.Condition()  # guards everything below; notified at the end of every move
        self._entries: dict[int, Entry] = {}
        self._names: set[str] = set()  # also those of servers about to be created
        self._coming: list[ServerOptions] = []  # what those ask for
        self._closed = False
        for row in store.list_servers():
            self._restore(row.id, row.name, row.config, row.created_at)

    def _restore(self, server_id: int, name: str, config: Mapping[str, Any], created_at: str) -> None:
        try:
            self._entries[server_id] = Entry(server_id, name, CONFIG.validate_python(config), created_at)
        except ValidationError:  # written by a version whose options were others; the row stays for that version
            log.warning("server %d is left out: its stored config does not fit this version", server_id)
        self._names.add(name)

    # --- questions -----------------------------------------------------------------------------------------------

    def all(self) -> list[ServerResource]:
        """Every server, oldest first."""
        with self._moved:
            return [resource_of(entry) for entry in self._entries.values()]

    def get(self, server_id: int) -> ServerResource:
        """One server, or NotFound."""
        with self._moved:
            return resource_of(self._entry(server_id))

    def running(self) -> list[ServerOptions]:
        """What the servers that are up, or about to be, were told."""
        with self._moved:
            return self._running()

    def host(self, server_id: int) -> ServerHost | None:
        """What serves, if it is listening."""
        with self._moved:
            entry = self._entry(server_id)
            return entry.host if entry.state == "listening" else None

    def look(self, server_id: int, seen: Seen) -> Look:
        """What there is to see of it in its present or last life."""
        with self._moved:
            entry = self._entry(server_id)
            server, host = resource_of(entry), entry.host
        return look_at(server, host, seen)

    # --- moves ---------------------------------------------------------------------------------------------------

    def create(self, config: ServerOptions) -> ServerResource:
        """Start a server and list it, or leave nothing behind."""
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
                self._coming.remove(config)
        self._feed.touch(LAB)
        return self.get(server_id)

    def start(self, server_id: int) -> ServerResource:
        """Start a stopped or failed one; of many callers one wins, the others get Conflict."""
        with self._moved:
            self._refuse_when_closed()
            entry = self._entry(server_id)
            if entry.state not in ("stopped", "failed"):
                raise Conflict(f"server {server_id} is {entry.state}; only a stopped or failed one can be started")
            refuse_too_much(entry.config, self._running(), self._settings)
            before, entry.phase, entry.reason = entry.host, "starting", None
        self._feed.touch(LAB)
        host = before
        reason: Reason | None = Reason(code="start_failed", detail="the server could not be started")
        try:
            if before is not None:
                before.stop()  # a failed one may still hold its port
            host, reason = start_host(entry.config), None
        except Problem as problem:
            code = "port_in_use" if isinstance(problem, Conflict) else "start_failed"
            reason = Reason(code=code, detail=problem.detail)
            raise
        finally:
            self._settle(entry, "stopped" if reason else "listening", host, reason)
        return self.get(server_id)

    def stop(self, server_id: int, drain_s: float = 0.0) -> ServerResource:
        """Stop it; a second caller waits for the first one's end."""
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
        """Stop and forget it; Conflict while a run holds it."""
        with self._moved:
            entry = self._entry(server_id)
            self._moved.wait_for(lambda: not entry.is_moving)
            self._entry(server_id)  # somebody else may have deleted it meanwhile
            if entry.claims:
                raise Conflict(f"server {server_id} is used by a run that is queued or running")
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
        """Stop all of them at once, for good."""
        with self._moved:
            self._closed = True
            ids = list(self._entries)
        if ids:
            with ThreadPoolExecutor(len(ids), thread_name_prefix="stopping") as pool:
                list(pool.map(self.stop, ids))

    # --- runs ----------------------------------------------------------------------------------------------------

    def claim(self, server_id: int) -> ServerLease:
        """Hold a listening server for a run; Conflict if it does not listen."""
        with self._moved:
            entry = self._entry(server_id, field_name="server.id")
            if entry.state != "listening":
                message = f"server {server_id} is {entry.state}; start it first"
                raise Conflict(message, errors=[FieldError("server.id", message)])
            claim = ServerLease(server_id, entry.config.model)
            entry.claims.add(claim)
            return claim

    def release(self, claim: ServerLease | None) -> None:
        """The run has ended."""
        if claim is not None:
            with self._moved:
                self._entries[claim.server_id].claims.discard(claim)

    # --- below, the steps of a move --------------------------------------------------------------------------------

    def _entry(self, server_id: int, field_name: str | None = None) -> Entry:
        if server_id not in self._entries:
            message = f"there is no server {server_id}"
            raise NotFound(message, errors=[FieldError(field_name, message)] if field_name else [])
        return self._entries[server_id]

    def _running(self) -> list[ServerOptions]:
        return [*self._coming, *(entry.config for entry in self._entries.values() if entry.is_up)]

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise Unavailable("the lab is closing")

    def _reserve(self, config: ServerOptions) -> str:
        """Its name, kept from others, as is the room it takes; `create` gives both back."""
        with self._moved:
            self._refuse_when_closed()
            limit = self._settings.max_servers
            if len(self._names) >= limit:
                raise Quota("max_servers", f"the lab keeps at most {limit} servers; delete one first")
            refuse_too_much(config, self._running(), self._settings)
            if config.name in self._names:
                message = "another server has this name"
                raise Conflict(f"name: {message}", errors=[FieldError("name", message)])
            made_up = (f"{config.model}-{number}" for number in count(1))
            name = config.name or next(name for name in made_up if name not in self._names)
            self._names.add(name)
            self._coming.append(config)
            return name

    def _end(self, entry: Entry, host: ServerHost, drain_s: float) -> None:
        """Drain or stop the host of an entry that is marked as draining, and settle it whatever happens."""
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
