"""How many processes share a load, and how many connections each may hold open."""

from __future__ import annotations

import os

from coreserver.config.load import LoadConfig, most_clients, standing_connections
from coreserver.errors import CannotStart
from coreserver.process_setup import raise_descriptor_limit

SPARE_DESCRIPTORS = 64  # for standard streams, the event loop, libraries and the result file


def processes_for(load: LoadConfig) -> int:
    """Return how many client processes `load` gets.

    That is the number in its settings, else as many as leave one CPU to the server, but no more than clients.
    """
    if load.client_processes is not None:
        return load.client_processes
    cores = len(set(load.client_cpus)) if load.client_cpus else len(os.sched_getaffinity(0)) - 1
    return max(1, min(cores, most_clients(load.clients)))


def reserve_connections(load: LoadConfig, processes: int) -> int:
    """Raise the descriptor limit of this process, one of `processes`; return how many connections it may hold open.

    Raises:
        CannotStart: these are fewer than its share of `load`.
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
