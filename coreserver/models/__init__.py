"""The server designs, one per file. `MODELS` lists them for forms, schemas, the REST API and tests."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from coreserver.config.server import ServerOptions
from coreserver.models.asyncio_server import AsyncioServer
from coreserver.models.bounded_pool import BoundedPool
from coreserver.models.c_threads import CThreads
from coreserver.models.capped_threads import CappedThreads
from coreserver.models.elastic_pool import ElasticPool
from coreserver.models.event_loop import EventLoop
from coreserver.models.executor_pool import ExecutorPool
from coreserver.models.sequential import Sequential
from coreserver.models.shared.base import ServerModel
from coreserver.models.thread_per_client import ThreadPerClient
from coreserver.records.server import DesignFacts

MODELS: dict[str, type[ServerModel]] = {
    "sequential": Sequential,
    "thread_per_client": ThreadPerClient,
    "capped_threads": CappedThreads,
    "executor_pool": ExecutorPool,
    "bounded_pool": BoundedPool,
    "elastic_pool": ElasticPool,
    "event_loop": EventLoop,
    "asyncio": AsyncioServer,
    "c_threads": CThreads,
}

if TYPE_CHECKING:
    ServerConfig = ServerOptions
else:
    ServerConfig = Annotated[reduce(or_, (model.Config for model in MODELS.values())), Field(discriminator="model")]


def facts_of(config: ServerOptions) -> DesignFacts:
    """Return the facts about the design that `config` configures."""
    return MODELS[config.model].facts(config)


def designs_with(option: str) -> list[str]:
    """Return the names of the designs that define this option in addition to the shared ones."""
    shared = ServerOptions.model_fields.keys()
    return [name for name, model in MODELS.items() if option in model.Config.model_fields.keys() - shared]


__all__ = ["MODELS", "ServerConfig", "designs_with", "facts_of"]
