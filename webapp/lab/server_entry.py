"""State of one server of the lab, and the resource that represents it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from coreserver.config.server import ServerOptions
from coreserver.hosting.host import ServerHost
from coreserver.models.shared.base import Snapshot, State
from webapp.schemas.resources import AddressResource, Reason, ServerResource, ServerState, ServerStats


@dataclass(eq=False)
class ServerLease:
    """Claim of a queued or running run on a server, which cannot be deleted until the lease is released."""

    server_id: int
    model: str
    run_id: int | None = None  # set when the run has been stored


@dataclass
class Entry:
    """A server; the lock of `Servers` guards the fields."""

    id: int
    name: str
    config: ServerOptions
    created_at: str
    phase: ServerState = "stopped"
    host: ServerHost | None = None  # of the last start; None before the first
    reason: Reason | None = None
    leases: set[ServerLease] = field(default_factory=set)

    @property
    def state(self) -> ServerState:
        """The phase, or `failed` if the model has failed since."""
        if self.phase == "listening" and self.host is not None and self.host.state is State.FAILED:
            return "failed"
        return self.phase

    @property
    def is_moving(self) -> bool:
        """Whether a thread is starting or stopping the server."""
        return self.phase in ("starting", "draining")

    @property
    def is_up(self) -> bool:
        """Whether the server is starting, listening or draining, and so can have threads and connections."""
        return self.is_moving or self.state == "listening"


def resource_of(entry: Entry) -> ServerResource:
    """Return the resource of a server as it is now."""
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
        run_ids=sorted(lease.run_id for lease in entry.leases if lease.run_id is not None),
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
