"""The personas: clients that behave badly on purpose, one class per kind of group in `coreserver.config.personas`."""

from __future__ import annotations

from typing import Any

from coreserver.clients.worker.personas.flood import FloodClient
from coreserver.clients.worker.personas.half_close import HalfCloseClient
from coreserver.clients.worker.personas.idle import IdleClient
from coreserver.clients.worker.personas.persona import Persona
from coreserver.clients.worker.personas.reset import ResetClient
from coreserver.clients.worker.personas.slow import SlowReader, SlowWriter

PERSONAS: dict[str, type[Persona[Any]]] = {
    "idle": IdleClient,
    "slow_writer": SlowWriter,
    "slow_reader": SlowReader,
    "reset": ResetClient,
    "half_close": HalfCloseClient,
    "flood": FloodClient,
}
