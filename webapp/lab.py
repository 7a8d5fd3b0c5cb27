"""The servers and runs in progress: start, watch, cancel. The sole owner of background work in the control plane.

Every method may be called by any thread; those that start or stop a server, or wait, block. Refusals are raised as
`webapp.problems.Problem`: NotFound, Conflict, Invalid, Quota, Unavailable or StorageFull.
"""

from __future__ import annotations

from typing import Any

from coreserver.config import ServerOptions
from coreserver.telemetry import ConnectionRecord, Event
from webapp.schemas import (
    ModelResource,
    RunFilter,
    RunList,
    RunPatch,
    RunResource,
    RunSpec,
    ServerResource,
)
from webapp.timeline import TimelineRow


class Lab:
    """Servers, runs, and what is stored of both."""

    # --- models --------------------------------------------------------------------------------------------------

    def models(self) -> list[ModelResource]:
        """Every model, in the order they are taught."""
        raise NotImplementedError

    def model(self, name: str) -> ModelResource:
        """One model, or NotFound."""
        raise NotImplementedError

    # --- servers -------------------------------------------------------------------------------------------------

    def create_server(self, config: ServerOptions) -> ServerResource:
        """Start a server; it is listed only if that worked. Conflict (field `port` or `name`), Quota, Unavailable."""
        raise NotImplementedError

    def servers(self) -> list[ServerResource]:
        """Every server, oldest first, stopped ones too."""
        raise NotImplementedError

    def server(self, server_id: int) -> ServerResource:
        """One server, or NotFound."""
        raise NotImplementedError

    def server_connections(self, server_id: int) -> list[ConnectionRecord]:
        """Connections of its present life: those open now (oldest first), after the last few that ended."""
        raise NotImplementedError

    def server_events(self, server_id: int) -> list[Event]:
        """The last events of its present life, oldest first."""
        raise NotImplementedError

    def start_server(self, server_id: int) -> ServerResource:
        """Start a stopped or failed one; Conflict when it is up, or its port is taken (then it stays stopped)."""
        raise NotImplementedError

    def stop_server(self, server_id: int, drain_s: float = 0.0) -> ServerResource:
        """Stop it, letting what is in flight finish for `drain_s`; stopping a stopped one does nothing."""
        raise NotImplementedError

    def delete_server(self, server_id: int) -> None:
        """Stop and forget it; Conflict while a queued or running run uses it."""
        raise NotImplementedError

    # --- runs ----------------------------------------------------------------------------------------------------

    def create_run(self, spec: RunSpec) -> RunResource:
        """Queue a run; Conflict when its server is not listening, NotFound, Quota."""
        raise NotImplementedError

    def runs(self, which: RunFilter | None = None) -> RunList:
        """One page of the runs that match, newest first unless asked otherwise."""
        raise NotImplementedError

    def run(self, run_id: int) -> RunResource:
        """One run as it is now, or NotFound."""
        raise NotImplementedError

    def patch_run(self, run_id: int, patch: RunPatch) -> RunResource:
        """Change its label or note."""
        raise NotImplementedError

    def cancel_run(self, run_id: int) -> RunResource:
        """End it soon, keeping what was gathered; cancelling one that has ended does nothing."""
        raise NotImplementedError

    def delete_run(self, run_id: int) -> None:
        """Forget it; Conflict while it is queued or running."""
        raise NotImplementedError

    def wait_run(self, run_id: int, timeout_s: float) -> RunResource:
        """Block until it has ended or the time is over; the run as it is then."""
        raise NotImplementedError

    def report(self, run_id: int) -> dict[str, Any]:
        """Its JSON report; Conflict before it has ended, NotFound where it ended without one."""
        raise NotImplementedError

    def connections(self, run_id: int) -> list[dict[str, Any]]:
        """Every connection, in the shape of `schemas.ConnectionRow`; Conflict and NotFound as for the report."""
        raise NotImplementedError

    def log(self, run_id: int) -> str:
        """The clients' log as the article prints it; Conflict and NotFound as for the report."""
        raise NotImplementedError

    def timeline_rows(self, run_id: int) -> list[TimelineRow]:
        """What the timeline draws: live while it runs, final afterwards, empty before."""
        raise NotImplementedError

    def timeline_svg(self, run_id: int, *, embedded: bool = False) -> str:
        """The timeline of this instant as SVG; `embedded` leaves out what a page brings itself."""
        raise NotImplementedError

    # --- the machine ---------------------------------------------------------------------------------------------

    def machine(self) -> dict[str, Any]:
        """The environment as reports describe it."""
        raise NotImplementedError
