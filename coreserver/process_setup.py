"""Set up the current process: the standard streams of a child program and the descriptor limit."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator

STDIN, STDOUT, STDERR = 0, 1, 2


def stdin_lines() -> Iterator[bytes]:
    """Yield the lines of stdin without their line ends.

    Reads the descriptor directly: a daemon thread would hold the lock of `sys.stdin` and block the exit.
    """
    pieces: list[bytes] = []
    while data := os.read(STDIN, 65536):
        *lines, rest = data.split(b"\n")
        for line in lines:
            yield b"".join([*pieces, line])
            pieces = []
        pieces.append(rest)


def claim_stdout() -> int:
    """Return a new descriptor of stdout for the messages of the program, and redirect all other output to stderr."""
    claimed = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    return claimed


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files (RLIMIT_NOFILE) to the hard limit and return it; `sys.maxsize`: unlimited."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard
