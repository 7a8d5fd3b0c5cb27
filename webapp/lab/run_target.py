"""Target of a run: a server of the lab, a server that exists only for this run, or an external server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from coreserver.clients.allowed_targets import TargetAddress, allowed_target
from coreserver.config.server import ServerOptions
from coreserver.errors import ConfigError, ServerlabError
from coreserver.hosting.host import ServerHost
from coreserver.reports.build import ServerInfo
from coreserver.reports.verdict.evidence import NOT_OURS
from webapp.lab.limits import check_server
from webapp.lab.server_entry import ServerLease
from webapp.lab.servers import Servers, start_host
from webapp.problems import Conflict, FieldError, Invalid, Problem
from webapp.schemas.resources import EXTERNAL
from webapp.schemas.run_spec import RunSpec, ServerRef, ServerTarget
from webapp.settings import Settings


class TargetUnavailable(ServerlabError):
    """The server of a run no longer listens, or could not start; `code` is the reason code of the run."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class RunTarget:
    """The resolved `server` of a run. Exactly one of `lease`, `address` (external) and `config` (own) is set."""

    model: str
    lease: ServerLease | None = None
    address: TargetAddress | None = None
    config: ServerOptions | None = None


def resolve_target(spec: RunSpec, servers: Servers, settings: Settings) -> RunTarget:
    """Lease the server, or resolve the host name: once, so that it cannot later resolve to another machine.

    Raises:
        NotFound, Conflict: the server of the lab does not exist, or does not listen.
        Invalid: the address is not within an `--allow-target`.
        Quota, Unavailable: a server for this run would exceed a limit.
    """
    match spec.server:
        case ServerRef(id=server_id):
            lease = servers.lease(server_id)
            return RunTarget(lease.model, lease=lease)
        case ServerTarget(address=text):
            return RunTarget(EXTERNAL, address=_allowed(text, settings))
        case ServerOptions() as config:
            check_server(config, servers.running(), settings)
            # Its service times are drawn from the run's seed, so that the run can be repeated.
            return RunTarget(config.model, config=config.model_copy(update={"seed": spec.seed}))
    raise TypeError(f"unknown kind of server: {type(spec.server)}")


def _allowed(text: str, settings: Settings) -> TargetAddress:
    try:
        return allowed_target(text, settings.allow_target, settings.port)
    except ConfigError as error:
        raise Invalid(f"server.address: {error}", errors=[FieldError("server.address", str(error))]) from error


@contextlib.contextmanager
def open_target(target: RunTarget, servers: Servers) -> Iterator[ServerHost | None]:
    """Provide the run's server for the duration of the block; None for an external one.

    Raises:
        TargetUnavailable: the server no longer listens, or could not start.
    """
    if target.lease is not None:
        server_id = target.lease.server_id
        host = servers.host(server_id)
        if host is None:
            raise TargetUnavailable("could_not_connect", f"server {server_id} is no longer listening")
        yield host
    elif target.config is None:
        yield None
    else:
        try:
            host = start_host(target.config)
        except Problem as problem:
            code = "could_not_connect" if isinstance(problem, Conflict) else "server_failed"
            raise TargetUnavailable(code, problem.detail) from problem
        try:
            yield host
        finally:
            host.stop()


def describe_target(target: RunTarget, host: ServerHost | None, servers: Servers) -> ServerInfo:
    """Return the server's description for the report."""
    if host is None:
        assert target.address is not None  # noqa: S101 - only an external server has no host
        host_name, port = target.address
        address = f"[{host_name}]:{port}" if ":" in host_name else f"{host_name}:{port}"
        config = {"address": address, "placement": NOT_OURS}
        return ServerInfo(model=EXTERNAL, config=config, name=address, scope=NOT_OURS)
    server_id = target.lease.server_id if target.lease else None
    name = servers.get(server_id).name if server_id else host.config.name
    config = host.config.model_dump(mode="json")
    return ServerInfo(model=host.config.model, config=config, id=server_id, name=name, details=dict(host.details))
