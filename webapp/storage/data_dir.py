"""A data dir belongs to one lab at a time: a lock that dies with its process, and beside it the lab's address."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from coreserver.errors import ServerlabError

LOCK, ADDRESS = "lock", "address"


class DataDirInUse(ServerlabError):
    """Another lab has this data dir."""


@contextlib.contextmanager
def lock_data_dir(data_dir: Path) -> Iterator[None]:
    """Hold the data dir, making it if need be; the kernel lets go of the lock when the process ends, however.

    Raises:
        DataDirInUse: another process holds it; the message has its pid.
        OSError: the folder cannot be made or written.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            raise DataDirInUse(f"{data_dir} is already in use by pid {pid or 'unknown'}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def write_address(data_dir: Path, url: str) -> None:
    """Say where the lab of this data dir listens; readers see all of it or nothing."""
    draft = data_dir / f"{ADDRESS}.new"
    draft.write_text(f"{url}\n")
    draft.replace(data_dir / ADDRESS)


def remove_address(data_dir: Path) -> None:
    """The lab does not listen any more."""
    (data_dir / ADDRESS).unlink(missing_ok=True)


def read_address(data_dir: Path) -> str | None:
    """Where the lab of this data dir said it listens; a killed lab may have left it behind."""
    try:
        return (data_dir / ADDRESS).read_text().strip() or None
    except OSError:
        return None
