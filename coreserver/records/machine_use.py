"""How much CPU time the whole machine used during a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MachineUse:
    """CPU seconds of the whole machine, summed over its cores, while `elapsed_s` went by.

    `busy_s` is work of processes; interrupts are left out, for those of the loopback device are the run's own.
    `steal_s` went to other guests of the same host. `own_s` is of this process and of its children that have ended
    meanwhile: client processes among them, a server's process not.
    """

    elapsed_s: float
    cores: int
    busy_s: float
    steal_s: float
    own_s: float
