"""Where a server model lives, behind one interface: today in threads of this process.

The control plane and the runs talk to a `ServerHost` only, so a model in a process of its own is one more class here.
"""

from __future__ import annotations

import os
from typing import Protocol

from coreserver.config import ServerOptions
from coreserver.models import MODELS
from coreserver.models.base import Address, Drained, Snapshot, State
from coreserver.sampler import Sample, Sampler
from coreserver.telemetry import ConnectionRecord, Event, Subscription


class ServerHost(Protocol):
    """One server, wherever it runs. Every method may be called by any thread; start, drain and stop block."""

    config: ServerOptions

    @property
    def pid(self) -> int:
        """The process that serves."""

    @property
    def address(self) -> Address | None:
        """Where it listens; None before start."""

    @property
    def state(self) -> State:
        """The model's state."""

    @property
    def failure(self) -> str | None:
        """Why it failed; None unless it did."""

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


class ThreadHost:
    """A model in background threads of this process, sampled ten times a second."""

    def __init__(self, config: ServerOptions) -> None:
        self.config = config
        self._model = MODELS[config.model](config)
        self._sampler = Sampler(self._model)

    @property
    def pid(self) -> int:
        """This process."""
        return os.getpid()

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

    def start(self) -> Address:
        """Start the model, then its sampler."""
        address = self._model.start()
        self._sampler.start()
        return address

    def drain(self, deadline_s: float) -> Drained:
        """Drain the model, then end its sampler."""
        try:
            return self._model.drain(deadline_s)
        finally:
            self._sampler.stop()

    def stop(self) -> None:
        """Stop the model, then its sampler."""
        try:
            self._model.stop()
        finally:
            self._sampler.stop()

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

    def samples(self, since_ns: int) -> list[Sample]:
        """The 100 ms samples taken at or after `since_ns`, oldest first."""
        return self._sampler.since(since_ns)
