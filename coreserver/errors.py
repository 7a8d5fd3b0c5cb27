"""Every error the TCP side raises, sorted by whose fault it is.

ServerlabError
├── ConfigError          the asker: a setting we cannot honour
│   └── PortInUse        … because somebody else already listens there
├── LifecycleError       our caller: a move the state machine does not allow
├── CannotStart          the machine: no threads, descriptors or compiler for what was asked
├── CouldNotConnect      the target of a run does not answer
├── WorkerDied           a client process ended before it delivered its result
├── RecordsIncomplete    the data: a record that must be there is missing
└── ReportTooNew         the data: a newer program wrote the report

Refused, reset and timed-out connections are recorded outcomes of a measurement, never exceptions.
"""

from __future__ import annotations


class ServerlabError(Exception):
    """Base of every error of ours; the message is written for the person who reads the page."""


class ConfigError(ServerlabError):
    """A setting cannot be honoured; `field` names it."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class PortInUse(ConfigError):
    """The asked port belongs to another listener."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"port {port} on {host} is in use by another listener", field="port")


class LifecycleError(ServerlabError):
    """A move that the current state does not allow."""


class CannotStart(ServerlabError):
    """The machine refused a resource that the server or the run needs."""


class CouldNotConnect(ServerlabError):
    """The run's target did not accept a connection when the run began."""


class WorkerDied(ServerlabError):
    """A client process ended without its result."""


class RecordsIncomplete(ServerlabError):
    """A record lacks a stamp that the question needs."""


class ReportTooNew(ServerlabError):
    """A report has a schema version that a later program introduced."""

    def __init__(self, version: int, known: int, *, written_by: str | None) -> None:
        """Name the version of the report, the newest one that this program reads, and the program that wrote it."""
        writer = "a newer Serverlab" if written_by is None else f"Serverlab {written_by}"
        super().__init__(
            f"the report was written by {writer} with schema version {version}; this program reads versions up to "
            f"{known}: install a newer Serverlab to open it"
        )
