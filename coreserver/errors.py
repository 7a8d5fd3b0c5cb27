"""The errors of coreserver, sorted by cause.

ServerlabError
├── ConfigError          configuration: a setting is invalid or not supported
│   └── PortInUse        … because another listener has the port
├── LifecycleError       caller: a transition that the current state does not allow
├── CannotStart          machine: threads, descriptors, processes or a compiler are missing
├── WorkerDied           machine: a client process ended before it delivered its result
├── RecordsIncomplete    data: records are damaged or incomplete
└── ReportTooNew         data: a newer version of the program wrote the report

Refused, reset and timed-out connections are recorded outcomes of a measurement, never exceptions.
"""

from __future__ import annotations


class ServerlabError(Exception):
    """Base of all errors; the message is shown to the user."""


class ConfigError(ServerlabError):
    """A setting is invalid or not supported; `field` names it."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class PortInUse(ConfigError):
    """Another listener has the requested port."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"port {port} on {host} is in use by another listener", field="port")


class LifecycleError(ServerlabError):
    """A transition that the current state does not allow."""


class CannotStart(ServerlabError):
    """A resource that the server or the run needs is not available on this machine."""


class WorkerDied(ServerlabError):
    """A client process ended before it delivered its result."""


class RecordsIncomplete(ServerlabError):
    """Records cannot be read, or lack a value that a figure needs."""


class ReportTooNew(ServerlabError):
    """A report has a schema version that a later program introduced."""

    def __init__(self, version: int, known: int, *, written_by: str | None) -> None:
        """Name the version of the report, the newest one that this program reads, and the program that wrote it."""
        writer = "a newer Serverlab" if written_by is None else f"Serverlab {written_by}"
        super().__init__(
            f"the report was written by {writer} with schema version {version}; this program reads versions up to "
            f"{known}: install a newer Serverlab to open it"
        )
