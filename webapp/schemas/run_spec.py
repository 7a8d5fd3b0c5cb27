"""Request body that creates a run, built on the settings of `coreserver`: a new option of a model is a field here.

It is a module of its own because the response bodies, which `webapp.client` needs, do not import the models.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from coreserver.config.base import FrozenSettings, Label, Note
from coreserver.config.load import LoadConfig
from coreserver.models import ServerConfig
from webapp.schemas.resources import Id

RUN_FIELDS = ("label", "note", "seed", "client_processes", "client_cpus")  # of RunSpec, without server and clients


class ServerRef(FrozenSettings):
    """A server of this lab, which must be listening."""

    id: Id


class ServerTarget(FrozenSettings):
    """A server of somebody else that speaks the protocol; the lab must have been told that it may be reached."""

    address: str = Field(
        min_length=1,
        max_length=300,
        description="host:port, an IPv6 address in brackets; must be within an `--allow-target` of the lab",
    )


def _server_kind(server: Any) -> str:
    named = (
        server if isinstance(server, dict) else type(server).model_fields if isinstance(server, FrozenSettings) else {}
    )
    return "server by id" if "id" in named else "target" if "address" in named else "server config"


RunServer = Annotated[
    Annotated[ServerRef, Tag("server by id")]
    | Annotated[ServerTarget, Tag("target")]
    | Annotated[ServerConfig, Tag("server config")],
    Discriminator(_server_kind),
]


class RunSpec(LoadConfig):
    """A run as it is asked for: a server, the clients that are sent at it, and what to call it."""

    label: Label = Field(default="", description="a short name to find the run by")
    note: Note = Field(default="", description="anything worth remembering")
    server: RunServer = Field(
        description='`{"id": 3}` for a listening server of the lab; the config of one that lives for this run alone; '
        'or `{"address": "127.0.0.1:9000"}` for one that is not ours'
    )

    def load(self) -> LoadConfig:
        """The part of it that the client processes need."""
        return LoadConfig(**{name: getattr(self, name) for name in LoadConfig.model_fields})
