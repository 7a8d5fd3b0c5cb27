"""All recorded facts of one run: the input of every report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coreserver.records.client import LoadResult
from coreserver.records.joined import JoinedConnection
from coreserver.records.machine_use import MachineUse
from coreserver.records.samples import Sample
from coreserver.records.server import UNKNOWN_DESIGN, DesignFacts

FailureCode = Literal["cannot_start", "could_not_connect", "worker_died", "server_failed", "server_stopped"]


@dataclass(frozen=True)
class RunResult:
    """All recorded facts of one run.

    `connections` has one entry per client connection, in the order of groups and clients. `foreign` counts the server
    records during the run that belong to no client of the run, `records_lost` those that could not be kept. `samples`
    begin with the one before the start. `listen_overflows` counts the handshakes that found a full backlog during the
    run, in the whole network namespace; None if the kernel does not report it. `machine` is the CPU time of the
    machine while the clients ran. `design` has the facts about the server's design.
    """

    load: LoadResult
    connections: list[JoinedConnection]
    foreign: int
    records_lost: int
    samples: list[Sample]
    listen_overflows: int | None
    outcome: Literal["completed", "cancelled", "failed"]
    failure: FailureCode | None = None
    failure_detail: str | None = None
    machine: MachineUse | None = None
    design: DesignFacts = UNKNOWN_DESIGN
