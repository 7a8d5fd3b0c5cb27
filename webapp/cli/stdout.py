"""Printing to standard output, which can be a closed pipe or a file on a full disk."""

from __future__ import annotations

import os
import sys

from webapp.cli.exit_codes import EXIT_OUTPUT, CommandError


class CannotWrite(CommandError):
    """The output was not written, or only partly; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message, EXIT_OUTPUT)


def put(text: str) -> None:
    """Print a text and a newline, and flush them. A pipe that its reader has closed (as `head` does) is not an error.

    Raises:
        CannotWrite: the disk is full, for example.
    """
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_buffer()
    except OSError as error:
        _discard_buffer()
        raise CannotWrite(f"the output could not be written: {error.strerror}") from error


def _discard_buffer() -> None:
    """Redirect standard output to /dev/null: Python would write the buffer again at exit, and fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
