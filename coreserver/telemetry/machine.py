"""What the kernel says of the whole machine: how busy it was, how much of that was us, and whom its listeners lost."""

from __future__ import annotations

import os
import resource
import time

from coreserver.records.machine_use import MachineUse

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_USER, _NICE, _SYSTEM, _STEAL = 0, 1, 2, 7  # columns of proc_stat(5) after the name


def _held(path: str) -> int | None:
    """A descriptor of `path` that stays open: a process at its descriptor limit still samples itself."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


_NETSTAT = _held("/proc/self/net/netstat")


class MachineWatch:
    """Begins to look when it is made."""

    def __init__(self) -> None:
        self._before = _look()
        self._began_s = time.monotonic()

    def so_far(self) -> MachineUse | None:
        """The use since then; None where the kernel does not say."""
        after = _look()
        if self._before is None or after is None:
            return None
        busy_s, steal_s, own_s = (now - before for now, before in zip(after, self._before, strict=True))
        return MachineUse(time.monotonic() - self._began_s, os.cpu_count() or 1, busy_s, steal_s, own_s)


def _look() -> tuple[float, float, float] | None:
    """Seconds busy, stolen and our own, up to now."""
    try:
        with open("/proc/stat", encoding="ascii") as stat:
            ticks = [int(word) for word in stat.readline().split()[1:]]
        busy, steal = ticks[_USER] + ticks[_NICE] + ticks[_SYSTEM], ticks[_STEAL]
    except (OSError, ValueError, IndexError):
        return None
    ours = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    own_s = sum(usage.ru_utime + usage.ru_stime for usage in ours)
    return busy / _TICKS_PER_S, steal / _TICKS_PER_S, own_s


def listen_overflows() -> int | None:
    """Handshakes since boot that met a full accept queue (TcpExt ListenOverflows); None where the kernel does not say.

    The counter is of the whole network namespace: of every listener in it, not of ours alone.
    """
    if _NETSTAT is None:
        return None
    try:
        lines = os.pread(_NETSTAT, 65536, 0).decode("ascii").splitlines()
        names, values = (line.split() for line in lines if line.startswith("TcpExt:"))
        return int(values[names.index("ListenOverflows")])
    except (OSError, ValueError):
        return None
