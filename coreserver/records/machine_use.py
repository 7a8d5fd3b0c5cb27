"""CPU time of the whole machine during a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MachineUse:
    """CPU seconds of the whole machine, summed over its cores, within `elapsed_s`.

    `busy_s` is the work of processes, without interrupts, because those of the loopback device belong to the run.
    `steal_s` went to other guests of the same host. `own_s` belongs to this process and to its children that have ended
    in this time, which include client processes but not a server process.
    """

    elapsed_s: float
    cores: int
    busy_s: float
    steal_s: float
    own_s: float
