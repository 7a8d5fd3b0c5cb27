"""One interface for server models that run in threads of this process and for those that run in their own process.

The control plane and the runs use only `ServerHost`; `host_for` creates the kind that the settings select.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod

from typing_extensions import override

from coreserver.config.server import ServerOptions
from coreserver.models import MODELS
from coreserver.models.shared.base import Drained, ServerAddress, ServerModel, Snapshot, State
from coreserver.models.shared.child_model import ChildModel
from coreserver.records.samples import Sample
from coreserver.records.server import ConnectionRecord, Event
from coreserver.telemetry.recorder import Subscription
from coreserver.telemetry.sampler import Sampler


class ServerHost(ABC):
    """One server and its records, in this process or in its own; created by `host_for` and used once.

    Any thread may call any method. `start`, `drain` and `stop` block and run one at a time; the other methods return
    copies immediately and raise no errors, in every state. A server that fails after its start raises nothing: `state`
    becomes `failed` and `failure` has the reason. The caller must call `stop`, which also frees a failed server.

    Attributes:
        config: the settings of the server.
    """

    def __init__(self, model: ServerModel) -> None:
        self.config: ServerOptions = model.config
        self._model = model

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """The id of the serving process; None while there is none."""

    @abstractmethod
    def samples(self, since_ns: int) -> list[Sample]:
        """Return the 100 ms samples taken at or after `since_ns`, oldest first."""

    @property
    def address(self) -> ServerAddress | None:
        """Where the server listens; None before `start`."""
        return self._model.address

    @property
    def state(self) -> State:
        """The state of the model."""
        return self._model.state

    @property
    def failure(self) -> str | None:
        """Why the server failed; None unless it did."""
        return self._model.failure

    @property
    def details(self) -> dict[str, str]:
        """Choices that the model made at start; see `ServerModel.details`."""
        return self._model.details

    def start(self) -> ServerAddress:
        """Start the server; see `ServerModel.start`."""
        return self._model.start()

    def drain(self, deadline_s: float) -> Drained:
        """Stop accepting, let connections in flight finish, and stop; see `ServerModel.drain`."""
        return self._model.drain(deadline_s)

    def stop(self) -> None:
        """Cut off every connection and stop; see `ServerModel.stop`."""
        self._model.stop()

    def snapshot(self) -> Snapshot:
        """Return the current figures and state."""
        return self._model.snapshot()

    def open_connections(self) -> list[ConnectionRecord]:
        """Return copies of the records of connections that have not ended, oldest first."""
        return self._model.recorder.open_connections()

    def recent(self) -> list[ConnectionRecord]:
        """Return the records that ended last, oldest first."""
        return self._model.recorder.recent()

    def events(self) -> list[Event]:
        """Return the last events, oldest first."""
        return self._model.recorder.events()

    def subscribe(self) -> Subscription:
        """Return a subscription that receives every record that ends from now on."""
        return self._model.recorder.subscribe()

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop filling `subscription`."""
        self._model.recorder.unsubscribe(subscription)


class ThreadHost(ServerHost):
    """A model in background threads of this process, sampled ten times per second."""

    def __init__(self, config: ServerOptions) -> None:
        super().__init__(MODELS[config.model](config))
        self._sampler = Sampler(self._model)

    @property
    @override
    def pid(self) -> int:
        return os.getpid()

    @override
    def samples(self, since_ns: int) -> list[Sample]:
        return self._sampler.since(since_ns)

    @override
    def start(self) -> ServerAddress:
        address = super().start()
        self._sampler.start()
        return address

    @override
    def drain(self, deadline_s: float) -> Drained:
        try:
            return super().drain(deadline_s)
        finally:
            self._sampler.stop()

    @override
    def stop(self) -> None:
        try:
            super().stop()
        finally:
            self._sampler.stop()


class ProcessHost(ServerHost):
    """A model in its own process, which also takes the samples: a C program or the same Python model."""

    def __init__(self, config: ServerOptions) -> None:
        model = MODELS[config.model]
        self._child = (model if issubclass(model, ChildModel) else ChildModel)(config)
        super().__init__(self._child)

    @property
    @override
    def pid(self) -> int | None:
        return self._child.pid

    @override
    def samples(self, since_ns: int) -> list[Sample]:
        return self._child.samples(since_ns)


def host_for(config: ServerOptions) -> ServerHost:
    """Return a host for the placement of `config`, not started yet."""
    return ProcessHost(config) if config.placement == "process" else ThreadHost(config)
