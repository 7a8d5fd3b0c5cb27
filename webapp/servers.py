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
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from pydantic import TypeAdapter, ValidationError

from coreserver.config import ServerOptions
from coreserver.errors import CannotStart, ConfigError, LifecycleError, PortInUse
from coreserver.host import ServerHost, host_for
from coreserver.models import ServerConfig
from coreserver.models.base import Snapshot, State
from webapp.feed import LAB, Feed
from webapp.look import Look, Seen, look_at
from webapp.problems import Conflict, FieldError, Invalid, NotFound, Problem, Quota, Unavailable
from webapp.schemas import AddressResource, Reason, ServerResource, ServerState, ServerStats
from webapp.settings import Settings
from webapp.store import Store, now

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


@dataclass(eq=False)
class Claim:
    """A run's hold on a server: while it lasts, the server cannot be deleted."""

    server_id: int
    model: str
    run_id: int | None = None  # known a moment later


@dataclass
class _Entry:
    """One resource; its fields are guarded by the lock of `Servers`."""

    id: int
    name: str
    config: ServerOptions
    created_at: str
    phase: ServerState = "stopped"
    host: ServerHost | None = None  # of its present life, or of its last one
    reason: Reason | None = None
    claims: set[Claim] = field(default_factory=set)

    @property
    def state(self) -> ServerState:
        if self.phase == "listening" and self.host is not None and self.host.state is State.FAILED:
            return "failed"
        return self.phase

    @property
    def is_moving(self) -> bool:
        return self.phase in ("starting", "draining")


class Servers:
    """All server resources."""

    def __init__(self, settings: Settings, store: Store, feed: Feed) -> None:
        self._limit = settings.max_servers
        self._store = store
        self._feed = feed
        self._moved = threading.Condition()  # guards everything below; notified at the end of every move
        self._entries: dict[int, _Entry] = {}
        self._names: set[str] = set()  # also those of servers about to be created
        self._closed = False
        for row in store.servers():
            self._restore(row.id, row.name, row.config, row.created_at)

    def _restore(self, server_id: int, name: str, config: Mapping[str, Any], created_at: str) -> None:
        try:
            self._entries[server_id] = _Entry(server_id, name, CONFIG.validate_python(config), created_at)
        except ValidationError:  # written by a version whose options were others; the row stays for that version
            log.warning("server %d is left out: its stored config does not fit this version", server_id)
        self._names.add(name)

    # --- questions -----------------------------------------------------------------------------------------------

    def all(self) -> list[ServerResource]:
        """Every server, oldest first."""
        with self._moved:
            return [_resource(entry) for entry in self._entries.values()]

    def one(self, server_id: int) -> ServerResource:
        """One server, or NotFound."""
        with self._moved:
            return _resource(self._entry(server_id))

    def host(self, server_id: int) -> ServerHost | None:
        """What serves, if it is listening."""
        with self._moved:
            entry = self._entry(server_id)
            return entry.host if entry.state == "listening" else None

    def look(self, server_id: int, seen: Seen) -> Look:
        """What there is to see of it in its present or last life."""
        with self._moved:
            entry = self._entry(server_id)
            server, host = _resource(entry), entry.host
        return look_at(server, host, seen)

    # --- moves ---------------------------------------------------------------------------------------------------

    def create(self, config: ServerOptions) -> ServerResource:
        """Start a server and list it, or leave nothing behind."""
        name = self._reserve_name(config)
        host: ServerHost | None = None
        try:
            host = start_host(config)
            created_at = now()
            server_id = self._store.add_server(name, config.model_dump(mode="json"), created_at)
            with self._moved:
                self._refuse_when_closed()
                self._entries[server_id] = _Entry(server_id, name, config, created_at, "listening", host)
        except BaseException:
            if host is not None:
                host.stop()
            with self._moved:
                self._names.discard(name)
            raise
        self._feed.touch(LAB)
        return self.one(server_id)

    def start(self, server_id: int) -> ServerResource:
        """Start a stopped or failed one; of many callers one wins, the others get Conflict."""
        with self._moved:
            self._refuse_when_closed()
            entry = self._entry(server_id)
            if entry.state not in ("stopped", "failed"):
                raise Conflict(f"server {server_id} is {entry.state}; only a stopped or failed one can be started")
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
        return self.one(server_id)

    def stop(self, server_id: int, drain_s: float = 0.0) -> ServerResource:
        """Stop it; a second caller waits for the first one's end."""
        with self._moved:
            entry = self._entry(server_id)
            self._moved.wait_for(lambda: not entry.is_moving)
            host = entry.host
            if entry.phase == "stopped" or host is None:
                return _resource(entry)
            entry.phase, entry.reason = "draining", None
        self._feed.touch(LAB)
        self._end(entry, host, drain_s)
        return self.one(server_id)

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

    def claim(self, server_id: int) -> Claim:
        """Hold a listening server for a run; Conflict if it does not listen."""
        with self._moved:
            entry = self._entry(server_id, field_name="server.id")
            if entry.state != "listening":
                message = f"server {server_id} is {entry.state}; start it first"
                raise Conflict(message, errors=[FieldError("server.id", message)])
            claim = Claim(server_id, entry.config.model)
            entry.claims.add(claim)
            return claim

    def release(self, claim: Claim | None) -> None:
        """The run has ended."""
        if claim is not None:
            with self._moved:
                self._entries[claim.server_id].claims.discard(claim)

    # --- below, the steps of a move --------------------------------------------------------------------------------

    def _entry(self, server_id: int, field_name: str | None = None) -> _Entry:
        if server_id not in self._entries:
            message = f"there is no server {server_id}"
            raise NotFound(message, errors=[FieldError(field_name, message)] if field_name else [])
        return self._entries[server_id]

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise Unavailable("the lab is closing")

    def _reserve_name(self, config: ServerOptions) -> str:
        with self._moved:
            self._refuse_when_closed()
            if len(self._names) >= self._limit:
                raise Quota("max_servers", f"the lab keeps at most {self._limit} servers; delete one first")
            if config.name in self._names:
                message = "another server has this name"
                raise Conflict(f"name: {message}", errors=[FieldError("name", message)])
            made_up = (f"{config.model}-{number}" for number in count(1))
            name = config.name or next(name for name in made_up if name not in self._names)
            self._names.add(name)
            return name

    def _end(self, entry: _Entry, host: ServerHost, drain_s: float) -> None:
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

    def _settle(self, entry: _Entry, phase: ServerState, host: ServerHost | None, reason: Reason | None) -> None:
        with self._moved:
            entry.phase, entry.host, entry.reason = phase, host, reason
            self._moved.notify_all()
        self._feed.touch(LAB)


def _resource(entry: _Entry) -> ServerResource:
    state, host = entry.state, entry.host
    reason = entry.reason
    if state == "failed" and reason is None and host is not None:
        reason = Reason(code="failed", detail=host.failure or "the server failed")
    address = host.address if host is not None and state in ("listening", "draining") else None
    path = f"/api/v1/servers/{entry.id}"
    return ServerResource(
        id=entry.id,
        name=entry.name,
        state=state,
        reason=reason,
        model=entry.config.model,
        pid=host.pid if host is not None and address is not None else None,
        address=AddressResource(host=address.host, port=address.port) if address else None,
        config=entry.config.model_dump(mode="json"),
        created_at=datetime.fromisoformat(entry.created_at),
        stats=_stats(host.snapshot()) if host is not None else None,
        run_ids=sorted(claim.run_id for claim in entry.claims if claim.run_id is not None),
        links={"self": path, "start": f"{path}/start", "stop": f"{path}/stop", "page": f"/servers/{entry.id}"},
    )


def _stats(snapshot: Snapshot) -> ServerStats:
    totals = snapshot.totals
    return ServerStats(
        accepted=totals.accepted,
        waiting=totals.waiting,
        in_service=totals.in_service,
        outcomes=totals.outcomes,
        events=totals.events,
        threads_alive=snapshot.threads_alive,
        threads_busy=snapshot.threads_busy,
        queue_depth=snapshot.queue_depth,
        accept_queue=snapshot.accept_queue,
    )
