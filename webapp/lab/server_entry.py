"""One server of the lab: what is known of it beside its host, and the resource that the API shows of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from coreserver.config.server import ServerOptions
from coreserver.hosting.host import ServerHost
from coreserver.models.shared.base import Snapshot, State
from webapp.schemas.resources import AddressResource, Reason, ServerResource, ServerState, ServerStats


@dataclass(eq=False)
class ServerLease:
    """A run's hold on a server: while it lasts, the server cannot be deleted."""

    server_id: int
    model: str
    run_id: int | None = None  # known a moment later


@dataclass
class Entry:
    """One resource; its fields are guarded by the lock of `Servers`."""

    id: int
    name: str
    config: ServerOptions
    created_at: str
    phase: ServerState = "stopped"
    host: ServerHost | None = None  # of its present life, or of its last one
    reason: Reason | None = None
    claims: set[ServerLease] = field(default_factory=set)

    @property
    def state(self) -> ServerState:
        """Its phase, or that its model has failed since."""
        if self.phase == "listening" and self.host is not None and self.host.state is State.FAILED:
            return "failed"
        return self.phase

    @property
    def is_moving(self) -> bool:
        """Whether somebody is starting or stopping it."""
        return self.phase in ("starting", "draining")

    @property
    def is_up(self) -> bool:
        """Whether it holds, or is about to hold, threads and connections."""
        return self.is_moving or self.state == "listening"


def resource_of(entry: Entry) -> ServerResource:
    """The resource, as it is now."""
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
