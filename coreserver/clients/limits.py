"""The number of processes that share a load, and the number of connections that each may hold open."""

from __future__ import annotations

import os

from coreserver.config.load import LoadConfig, most_clients, standing_connections
from coreserver.errors import CannotStart
from coreserver.process_setup import raise_descriptor_limit

SPARE_DESCRIPTORS = 64  # for standard streams, the event loop, libraries and the result file


def processes_for(load: LoadConfig) -> int:
    """Return the number of client processes for `load`.

    It is the number in the settings, if set. Otherwise it is one per CPU in `client_cpus` or, without those, one per
    available CPU except one, which is left to the server; in both cases not more than clients.
    """
    if load.client_processes is not None:
        return load.client_processes
    cores = len(set(load.client_cpus)) if load.client_cpus else len(os.sched_getaffinity(0)) - 1
    return max(1, min(cores, most_clients(load.clients)))


def reserve_connections(load: LoadConfig, processes: int) -> int:
    """Raise the descriptor limit of this process, one of `processes`; return how many connections it may hold open.

    Raises:
        CannotStart: the limit is too low for its share of `load`.
    """
    limit = raise_descriptor_limit()
    connections = -(-standing_connections(load.clients) // processes)
    needed = connections + SPARE_DESCRIPTORS
    if limit < needed:
        whose = f" of each of {processes} client processes" if processes > 1 else ""
        raise CannotStart(
            f"{connections} connections{whose} need {needed} file descriptors, but RLIMIT_NOFILE allows {limit}; "
            f"raise it with `sudo prlimit --pid $$ --nofile={needed}` in the shell that then starts the lab"
        )
    return limit - SPARE_DESCRIPTORS
