"""Where the clients of a run are sent: a server of the lab, one made for the run alone, or one that is not ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from coreserver.clients.allowed_targets import Address, allowed_target
from coreserver.config.server import ServerOptions
from coreserver.errors import ConfigError
from coreserver.hosting.host import ServerHost
from coreserver.reports.build import ServerInfo
from coreserver.reports.verdict.evidence import NOT_OURS
from webapp.lab.limits import refuse_too_much
from webapp.lab.server_entry import ServerLease
from webapp.lab.servers import Servers, start_host
from webapp.problems import Conflict, FieldError, Invalid, Problem
from webapp.schemas.resources import EXTERNAL
from webapp.schemas.run_spec import RunSpec, ServerRef, ServerTarget
from webapp.settings import Settings


class CouldNotServe(Exception):
    """There was no server to send the clients at."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class Destination:
    """What a run's `server` stands for. `claim`: its hold on a server of the lab; `target`: where one not ours is."""

    model: str
    claim: ServerLease | None = None
    target: Address | None = None
    config: ServerOptions | None = None


def destination_of(spec: RunSpec, servers: Servers, settings: Settings) -> Destination:
    """Look the server up, or resolve its name: once, so that a name cannot come to mean another machine later.

    Raises:
        NotFound, Conflict: there is no such server, or it does not listen.
        Invalid: the lab does not send anything to that address.
        Quota, Unavailable: a server for the run alone would pass a limit as things are.
    """
    match spec.server:
        case ServerRef(id=server_id):
            claim = servers.claim(server_id)
            return Destination(claim.model, claim=claim)
        case ServerTarget(address=text):
            return Destination(EXTERNAL, target=_allowed(text, settings))
        case ServerOptions() as config:
            refuse_too_much(config, servers.running(), settings)
            # Its service times are drawn from the run's seed, so that the run can be repeated.
            return Destination(config.model, config=config.model_copy(update={"seed": spec.seed}))
    raise TypeError(f"no kind of server: {type(spec.server)}")


def _allowed(text: str, settings: Settings) -> Address:
    try:
        return allowed_target(text, settings.allow_target, settings.port)
    except ConfigError as error:
        raise Invalid(f"server.address: {error}", errors=[FieldError("server.address", str(error))]) from error


@contextlib.contextmanager
def reached(destination: Destination, servers: Servers) -> Iterator[ServerHost | None]:
    """The run's server while the run lasts; None for one that is not ours.

    Raises:
        CouldNotServe: it does not listen any more, or could not be started.
    """
    if destination.claim is not None:
        host = servers.host(destination.claim.server_id)
        if host is None:
            server_id = destination.claim.server_id
            raise CouldNotServe("could_not_connect", f"server {server_id} is not listening any more")
        yield host
    elif destination.config is None:
        yield None
    else:
        try:
            host = start_host(destination.config)
        except Problem as problem:
            code = "could_not_connect" if isinstance(problem, Conflict) else "server_failed"
            raise CouldNotServe(code, problem.detail) from problem
        try:
            yield host
        finally:
            host.stop()


def described(destination: Destination, host: ServerHost | None, servers: Servers) -> ServerInfo:
    """The server as the run's report describes it."""
    if host is None:
        assert destination.target is not None  # noqa: S101 - only a server that is not ours has no host
        host_name, port = destination.target
        address = f"[{host_name}]:{port}" if ":" in host_name else f"{host_name}:{port}"
        config = {"address": address, "placement": NOT_OURS}
        return ServerInfo(model=EXTERNAL, config=config, name=address, scope=NOT_OURS)
    server_id = destination.claim.server_id if destination.claim else None
    name = servers.get(server_id).name if server_id else host.config.name
    config = host.config.model_dump(mode="json")
    return ServerInfo(model=host.config.model, config=config, id=server_id, name=name, details=dict(host.details))
