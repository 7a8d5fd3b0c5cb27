"""Where a server model lives, behind one interface: in threads of this process, or in a process of its own.

The control plane and the runs talk to a `ServerHost` only; `host_for` makes the one that a configuration asks for.
"""

from __future__ import annotations

import os
from typing import Protocol

from coreserver.config.server import ServerOptions
from coreserver.models import MODELS
from coreserver.models.shared.base import Address, Drained, ServerModel, Snapshot, State
from coreserver.models.shared.child_model import ChildModel
from coreserver.records.samples import Sample
from coreserver.records.server import ConnectionRecord, Event
from coreserver.telemetry.recorder import Subscription
from coreserver.telemetry.sampler import Sampler


class ServerHost(Protocol):
    """One server, wherever it runs. Every method may be called by any thread; start, drain and stop block."""

    config: ServerOptions

    @property
    def pid(self) -> int | None:
        """The process that serves; None while there is none."""

    @property
    def address(self) -> Address | None:
        """Where it listens; None before start."""

    @property
    def state(self) -> State:
        """The model's state."""

    @property
    def failure(self) -> str | None:
        """Why it failed; None unless it did."""

    @property
    def details(self) -> dict[str, str]:
        """See `ServerModel.details`."""

    def start(self) -> Address:
        """See `ServerModel.start`."""

    def drain(self, deadline_s: float) -> Drained:
        """See `ServerModel.drain`."""

    def stop(self) -> None:
        """See `ServerModel.stop`."""

    def snapshot(self) -> Snapshot:
        """See `ServerModel.snapshot`."""

    def open_connections(self) -> list[ConnectionRecord]:
        """Copies of the records of connections not yet ended."""

    def recent(self) -> list[ConnectionRecord]:
        """The last ended records."""

    def events(self) -> list[Event]:
        """The last events, oldest first."""

    def subscribe(self) -> Subscription:
        """Every record that ends from now on."""

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop filling it."""

    def samples(self, since_ns: int) -> list[Sample]:
        """The 100 ms samples taken at or after `since_ns`, oldest first."""


def host_for(config: ServerOptions) -> ServerHost:
    """The host that `config.placement` asks for; not started."""
    return ChildHost(config) if config.placement == "process" else ThreadHost(config)


class _ModelHost:
    """What both hosts hand on to their model."""

    def __init__(self, config: ServerOptions, model: ServerModel) -> None:
        self.config = config
        self._model = model

    @property
    def address(self) -> Address | None:
        """Where the model listens; None before start."""
        return self._model.address

    @property
    def state(self) -> State:
        """The model's state."""
        return self._model.state

    @property
    def failure(self) -> str | None:
        """Why the model failed; None unless it did."""
        return self._model.failure

    @property
    def details(self) -> dict[str, str]:
        """What the model settled at start, beside its settings."""
        return self._model.details

    def start(self) -> Address:
        """Start the model."""
        return self._model.start()

    def drain(self, deadline_s: float) -> Drained:
        """Drain the model."""
        return self._model.drain(deadline_s)

    def stop(self) -> None:
        """Stop the model."""
        self._model.stop()

    def snapshot(self) -> Snapshot:
        """The model's figures of this instant."""
        return self._model.snapshot()

    def open_connections(self) -> list[ConnectionRecord]:
        """Copies of the records of connections not yet ended."""
        return self._model.recorder.open_connections()

    def recent(self) -> list[ConnectionRecord]:
        """The last ended records."""
        return self._model.recorder.recent()

    def events(self) -> list[Event]:
        """The last events, oldest first."""
        return self._model.recorder.events()

    def subscribe(self) -> Subscription:
        """Every record that ends from now on."""
        return self._model.recorder.subscribe()

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop filling it."""
        self._model.recorder.unsubscribe(subscription)


class ThreadHost(_ModelHost):
    """A model in background threads of this process, sampled ten times a second."""

    def __init__(self, config: ServerOptions) -> None:
        super().__init__(config, MODELS[config.model](config))
        self._sampler = Sampler(self._model)

    @property
    def pid(self) -> int:
        """This process."""
        return os.getpid()

    def start(self) -> Address:
        """Start the model, then its sampler."""
        address = super().start()
        self._sampler.start()
        return address

    def drain(self, deadline_s: float) -> Drained:
        """Drain the model, then end its sampler."""
        try:
            return super().drain(deadline_s)
        finally:
            self._sampler.stop()

    def stop(self) -> None:
        """Stop the model, then its sampler."""
        try:
            super().stop()
        finally:
            self._sampler.stop()

    def samples(self, since_ns: int) -> list[Sample]:
        """The 100 ms samples taken at or after `since_ns`, oldest first."""
        return self._sampler.since(since_ns)


class ChildHost(_ModelHost):
    """A model in a process of its own, which samples itself: a child program, or the same Python model."""

    def __init__(self, config: ServerOptions) -> None:
        model = MODELS[config.model]
        self._child = (model if issubclass(model, ChildModel) else ChildModel)(config)
        super().__init__(config, self._child)

    @property
    def pid(self) -> int | None:
        """The child; None before start and once it is gone."""
        return self._child.pid

    def samples(self, since_ns: int) -> list[Sample]:
        """The 100 ms samples taken in the child at or after `since_ns`, oldest first."""
        return self._child.samples(since_ns)
