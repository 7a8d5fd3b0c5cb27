"""How much of the machine the lab lets itself be asked for; a refusal names the limit, and how to raise the machine's.

Only what a configuration promises can be counted beforehand. A server without a bound of its own (a thread for every
client, no `max_connections`) is counted at what it surely has; past that its listener waits for descriptors.
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


def refuse_too_much(config: ServerOptions, running: Iterable[ServerOptions], settings: Settings) -> None:
    """Raise Quota where this server beside those that run would pass a limit, Unavailable where it is the machine's."""
    others = list(running)
    threads = most_threads(config)
    if threads + sum(map(most_threads, others)) > settings.max_threads:
        limit = f"running servers have at most {settings.max_threads:,} threads together by their settings"
        raise Quota("max_threads", f"{limit}, and this one may have {threads:,}")
    connections = config.max_connections or 0
    if connections + sum(other.max_connections or 0 for other in others) > settings.max_connections:
        limit = f"running servers have at most {settings.max_connections:,} connections together by their settings"
        raise Quota("max_connections", f"{limit}, and this one may have {connections:,}")
    same_process = [other for other in others if config.placement == other.placement == "thread"]
    needed = connections + sum(other.max_connections or 0 for other in same_process) + RESERVED_DESCRIPTORS
    if connections and needed > descriptors():
        raise Unavailable(_descriptors(f"{connections:,} connections beside what the lab itself holds", needed))


def refuse_load(load: LoadConfig, settings: Settings) -> None:
    """Raise Invalid for a run that takes too long or holds too many connections for the lab or for the machine."""
    for place, group in enumerate(load.clients):
        if group.least_s > settings.max_run_s:
            message = f"max_run_s: a run lasts at most {settings.max_run_s:g} s, and this {group.kind} alone longer"
            raise Invalid(message, errors=[FieldError(f"clients.{place}.{_lasting_part(group)}", message)])
    standing = standing_connections(load.clients)
    if standing > settings.max_connections:
        message = f"max_connections: {standing:,} clients at a time, and a run has at most {settings.max_connections:,}"
        raise Invalid(message, errors=[FieldError("clients", message)])
    processes = processes_for(load)
    share = -(-standing // processes)
    if (needed := share + SPARE_DESCRIPTORS) > descriptors():
        whose = "in each of its client processes" if processes > 1 else "in its client process"
        message = _descriptors(f"{share:,} connections {whose}", needed)
        raise Invalid(message, errors=[FieldError("clients", message)])


def most_threads(config: ServerOptions) -> int:
    """Return how many threads serve at most under these settings; 1 if the settings do not limit them."""
    return MODELS[config.model].max_threads(config) or 1


def descriptors() -> int:
    """How many descriptors a process of ours may be given: the hard limit, to which each raises its own."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def _descriptors(what: str, needed: int) -> str:
    return (
        f"RLIMIT_NOFILE: {what} need {needed:,} file descriptors, and {descriptors():,} are allowed; raise it with "
        f"`sudo prlimit --pid $$ --nofile={needed}` in the shell that then starts the lab"
    )


def _lasting_part(group: ClientGroup) -> str:
    """The field that makes the group last."""
    if group.start_s * 2 > group.least_s:
        return "start_s"
    if isinstance(group, ScriptGroup):
        return "script"
    if isinstance(group, OpenGroup) and group.stages is not None:
        return "stages"
    return "duration_s" if "duration_s" in type(group).model_fields else "hold_s"
