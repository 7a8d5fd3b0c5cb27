"""Everything that one run recorded: the input of every report."""

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
    """Everything a run has found out.

    `connections` has one entry a client: groups as given, clients as numbered. `foreign` counts server records of the
    run's time that no client of ours owns, `records_lost` those that could not be kept. `samples` begin one before the
    run's start. `listen_overflows` is the kernel's count of connections its accept queues dropped during the run, of
    the whole network namespace; None where it cannot be read. `machine` is how busy all of it was while the
    clients ran. `design` has the facts about the server's design.
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
