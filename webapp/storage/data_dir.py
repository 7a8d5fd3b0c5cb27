"""Lock of a data directory, which one lab uses at a time, and the file with that lab's address."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from coreserver.errors import ServerlabError

LOCK, ADDRESS = "lock", "address"


class DataDirInUse(ServerlabError):
    """Another lab uses this data directory."""


@contextlib.contextmanager
def lock_data_dir(data_dir: Path) -> Iterator[None]:
    """Create the data directory if it is missing and lock it.

    The lock is a flock(2) lock: the kernel releases it when the process ends for any reason.

    Raises:
        DataDirInUse: another process holds the lock; the message has its pid.
        OSError: the directory cannot be created or written.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            message = f"{data_dir} is already in use by pid {pid or 'unknown'}"
            raise DataDirInUse(f"{message}: stop that lab, or choose another --data-dir") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def write_address(data_dir: Path, url: str) -> None:
    """Write the URL of the lab that uses this data directory. The file is replaced atomically."""
    draft = data_dir / f"{ADDRESS}.new"
    draft.write_text(f"{url}\n")
    draft.replace(data_dir / ADDRESS)


def remove_address(data_dir: Path) -> None:
    """Remove the file with the lab's URL, if it exists."""
    (data_dir / ADDRESS).unlink(missing_ok=True)


def read_address(data_dir: Path) -> str | None:
    """Return the URL of the lab that uses this data directory, or None. A killed lab leaves its URL behind."""
    try:
        return (data_dir / ADDRESS).read_text().strip() or None
    except OSError:
        return None
