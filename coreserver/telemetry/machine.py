"""Figures of the whole machine: CPU time, the share of this process, and overflows of accept queues."""

from __future__ import annotations

import os
import resource
import time

from coreserver.records.machine_use import MachineUse

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_USER, _NICE, _SYSTEM, _STEAL = 0, 1, 2, 7  # columns of proc_stat(5) after the name


def _open_kept(path: str) -> int | None:
    """Open `path` and keep it open, so that a process at its descriptor limit can still read it."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


_NETSTAT = _open_kept("/proc/self/net/netstat")


class MachineWatch:
    """Measurement of the use of the machine since the creation of this object."""

    def __init__(self) -> None:
        self._before = _read_cpu_times()
        self._began_s = time.monotonic()

    def so_far(self) -> MachineUse | None:
        """Return the use since the creation; None if the kernel does not report it."""
        after = _read_cpu_times()
        if self._before is None or after is None:
            return None
        busy_s, steal_s, own_s = (now - before for now, before in zip(after, self._before, strict=True))
        return MachineUse(time.monotonic() - self._began_s, os.cpu_count() or 1, busy_s, steal_s, own_s)


def _read_cpu_times() -> tuple[float, float, float] | None:
    """Return the seconds so far that were busy, stolen, and used by this process and its children."""
    try:
        with open("/proc/stat", encoding="ascii") as stat:
            ticks = [int(word) for word in stat.readline().split()[1:]]
        busy, steal = ticks[_USER] + ticks[_NICE] + ticks[_SYSTEM], ticks[_STEAL]
    except (OSError, ValueError, IndexError):
        return None
    own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    own_s = sum(usage.ru_utime + usage.ru_stime for usage in own)
    return busy / _TICKS_PER_S, steal / _TICKS_PER_S, own_s


def listen_overflows() -> int | None:
    """Return the number of handshakes since boot that found a full backlog (TcpExt ListenOverflows).

    It counts all listeners of the network namespace. None: the kernel does not report it.
    """
    if _NETSTAT is None:
        return None
    try:
        lines = os.pread(_NETSTAT, 65536, 0).decode("ascii").splitlines()
        names, values = (line.split() for line in lines if line.startswith("TcpExt:"))
        return int(values[names.index("ListenOverflows")])
    except (OSError, ValueError):
        return None
