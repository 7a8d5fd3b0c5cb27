"""What this process may hold open, and what a load needs."""

from __future__ import annotations

import resource

from coreserver.config import LoadConfig
from coreserver.errors import CannotStart
from coreserver.load_config import standing_connections

SPARE_DESCRIPTORS = 64  # standard streams, the loop's own, libraries, the result file


def connections_of(load: LoadConfig) -> int:
    """The most connections `load` may hold open at once."""
    return standing_connections(load.clients)


def raise_descriptor_limit(connections: int) -> None:
    """Raise this process's soft limit to its hard one, and make sure that `connections` fit.

    Raises:
        CannotStart: they do not; nothing was opened.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = connections + SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise CannotStart(
            f"{connections} connections need {needed} file descriptors, but RLIMIT_NOFILE allows {hard}; raise it with "
            f"`sudo prlimit --pid $$ --nofile={needed}` in the shell that then starts the lab"
        )
