"""Exit codes of the `serverlab` command, and the errors that end a command with one of them."""

from __future__ import annotations

from coreserver.errors import ServerlabError

EXIT_OK = 0
EXIT_OUTPUT = 1  # the output could not be written
EXIT_USAGE = 2
EXIT_NO_SERVER = 3  # no lab, or no server to connect to
EXIT_INVALID = 4
EXIT_MISSED = 99  # an objective
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class CommandError(ServerlabError):
    """The command ends with this message on standard error and with the exit code `code`."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class UsageError(CommandError):
    """The command line or a file that it names is not valid."""

    def __init__(self, message: str) -> None:
        super().__init__(message, EXIT_USAGE)
