"""Limits of the lab and of the machine, checked before a server or a run starts. A refusal names the limit.

Only numbers that the settings state can be counted in advance. A server whose settings do not limit its threads (one
thread per client, no `max_connections`) counts as one thread; while no file descriptor is free, its listener waits.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable

from coreserver.clients.limits import SPARE_DESCRIPTORS, processes_for
from coreserver.config.load import ClientGroup, LoadConfig, OpenGroup, ScriptGroup, standing_connections
from coreserver.config.server import ServerOptions
from coreserver.models import MODELS
from coreserver.models.shared.open_connections import RESERVED_DESCRIPTORS
from webapp.problems import FieldError, Invalid, Quota, Unavailable
from webapp.settings import Settings


def check_server(config: ServerOptions, running: Iterable[ServerOptions], settings: Settings) -> None:
    """Check that this server, together with the running ones, stays within the limits.

    Raises:
        Quota: a limit of the lab would be exceeded.
        Unavailable: the process is not allowed to open enough file descriptors.
    """
    others = list(running)
    threads = max_threads(config)
    if threads + sum(map(max_threads, others)) > settings.max_threads:
        limit = f"the settings of all running servers allow at most {settings.max_threads:,} threads together"
        raise Quota("max_threads", f"{limit}, and this server may have {threads:,}")
    connections = config.max_connections or 0
    if connections + sum(other.max_connections or 0 for other in others) > settings.max_connections:
        limit = f"the settings of all running servers allow at most {settings.max_connections:,} connections together"
        raise Quota("max_connections", f"{limit}, and this server may have {connections:,}")
    same_process = [other for other in others if config.placement == other.placement == "thread"]
    needed = connections + sum(other.max_connections or 0 for other in same_process) + RESERVED_DESCRIPTORS
    if connections and needed > max_descriptors():
        raise Unavailable(_descriptors(f"{connections:,} connections and the lab itself", needed))


def check_load(load: LoadConfig, settings: Settings) -> None:
    """Check the duration and the number of connections of a run.

    Raises:
        Invalid: the run would exceed a limit of the lab or of the machine.
    """
    for place, group in enumerate(load.clients):
        if group.least_s > settings.max_run_s:
            message = f"max_run_s: a run lasts at most {settings.max_run_s:g} s, this {group.kind} group lasts longer"
            raise Invalid(message, errors=[FieldError(f"clients.{place}.{_longest_field(group)}", message)])
    standing = standing_connections(load.clients)
    if standing > settings.max_connections:
        message = f"max_connections: {standing:,} clients at a time; the limit of a run is {settings.max_connections:,}"
        raise Invalid(message, errors=[FieldError("clients", message)])
    processes = processes_for(load)
    share = -(-standing // processes)
    if (needed := share + SPARE_DESCRIPTORS) > max_descriptors():
        whose = "in each client process" if processes > 1 else "in the client process"
        message = _descriptors(f"{share:,} connections {whose}", needed)
        raise Invalid(message, errors=[FieldError("clients", message)])


def max_threads(config: ServerOptions) -> int:
    """Return the largest number of serving threads under these settings; 1 if the settings do not limit them."""
    return MODELS[config.model].max_threads(config) or 1


def max_descriptors() -> int:
    """Return the hard limit of file descriptors, to which each process of the lab raises its own limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def _descriptors(what: str, needed: int) -> str:
    return (
        f"RLIMIT_NOFILE: {what} need {needed:,} file descriptors, and {max_descriptors():,} are allowed; raise it with "
        f"`sudo prlimit --pid $$ --nofile={needed}` in the shell that then starts the lab"
    )


def _longest_field(group: ClientGroup) -> str:
    """Return the name of the field that contributes most to the duration of the group."""
    if group.start_s * 2 > group.least_s:
        return "start_s"
    if isinstance(group, ScriptGroup):
        return "script"
    if isinstance(group, OpenGroup) and group.stages is not None:
        return "stages"
    return "duration_s" if "duration_s" in type(group).model_fields else "hold_s"
