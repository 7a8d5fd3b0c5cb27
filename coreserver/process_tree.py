"""Find and kill the descendants of a child process, as listed in proc(5)."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import NamedTuple


class ProcessStat(NamedTuple):
    """The first fields of /proc/PID/stat: the state letter, the parent and the session."""

    state: str
    parent: int
    session: int

    @property
    def is_alive(self) -> bool:
        """Whether the process can still run: it is neither a zombie nor dead."""
        return self.state not in "ZX"


def read_stat(pid: int) -> ProcessStat | None:
    """Return the state of process `pid`; None if there is no such process."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        state, parent, _, session = os.read(descriptor, 512).rpartition(b")")[2].split(None, 4)[:4]
    except (OSError, ValueError):  # it has ended meanwhile
        return None
    finally:
        os.close(descriptor)
    return ProcessStat(state.decode(), int(parent), int(session))


def kill_tree(leader: int) -> None:
    """Send SIGKILL to session `leader` and to every descendant of process `leader`.

    The caller must not have reaped `leader`: until then the kernel does not reuse its process id. A descendant in
    another session is found only while its ancestors live.
    """
    killed: set[int] = set()
    while new := _find_tree(leader) - killed:  # again, because a process may fork before its signal arrives
        for pid in new:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= new


def _find_tree(leader: int) -> set[int]:
    try:
        stats = {pid: read_stat(pid) for pid in map(int, filter(str.isdecimal, os.listdir("/proc")))}
    except OSError:  # no descriptor is left for the listing
        return {leader}
    alive = {pid: stat for pid, stat in stats.items() if stat is not None and stat.is_alive}
    found = {pid for pid, stat in alive.items() if pid == leader or stat.session == leader}
    while more := {pid for pid, stat in alive.items() if stat.parent in found} - found:
        found |= more
    return found
