"""What a command prints, where the standard output may be a pipe that nobody reads any more, or a full disk."""

from __future__ import annotations

import os
import sys


class CannotWrite(Exception):
    """The output took nothing, or a part only; the message says why."""


def put(text: str) -> None:
    """Print a whole text and be sure of it. Who closes the pipe, as `head` does, has read enough.

    Raises:
        CannotWrite: the disk is full, or the like.
    """
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up()
    except OSError as error:
        _give_up()
        raise CannotWrite(f"the output could not be written: {error.strerror}") from error


def _give_up() -> None:
    """What is still in the buffer would be tried again when the process ends, and fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
