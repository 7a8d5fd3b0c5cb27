"""Request body that creates a run, built on the settings of `coreserver`: a new option of a model is a field here.

It is a separate module, because the response bodies, which `webapp.client` needs, must not import the models.
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
    """A listening server of this lab."""

    id: Id


class ServerTarget(FrozenSettings):
    """An external server that speaks the protocol, within an `--allow-target` of the lab."""

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
    """A run: its server, its clients, a label and a note."""

    label: Label = Field(default="", description="short name of the run")
    note: Note = Field(default="", description="free text about the run")
    server: RunServer = Field(
        description='`{"id": 3}` for a listening server of the lab; a server config for a server of this run only; '
        'or `{"address": "127.0.0.1:9000"}` for an external server'
    )

    def load(self) -> LoadConfig:
        """Return the settings of the client processes."""
        return LoadConfig(**{name: getattr(self, name) for name in LoadConfig.model_fields})
