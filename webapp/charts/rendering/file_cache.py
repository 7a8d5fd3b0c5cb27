"""A cache of files on disk with a maximum size; the least recently used files are removed first."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from webapp.charts.rendering.vega_version import CONVERTER


def cache_key(request: Mapping[str, Any]) -> str:
    """Return the cache key of a request to this version of the converter."""
    text = json.dumps([CONVERTER, request], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class FileCache:
    """A folder with one file per key. Disk errors count as cache misses."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes

    def get(self, key: str) -> bytes | None:
        """Return the data of `key`; None if it is not in the cache."""
        path = self._folder / key
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return data

    def put(self, key: str, data: bytes) -> None:
        """Store `data`; readers, also in other processes, see all of it or nothing."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, draft = tempfile.mkstemp(dir=self._folder, prefix=".new-")
            try:
                with open(descriptor, "wb") as file:
                    file.write(data)
                os.replace(draft, self._folder / key)
            except OSError:
                os.unlink(draft)
                raise
            self._trim()

    def _trim(self) -> None:
        found = sorted(((path.stat(), path) for path in self._folder.iterdir()), key=lambda item: -item[0].st_mtime_ns)
        total = 0
        for status, path in found:
            total += status.st_size
            if total > self._max_bytes:
                path.unlink(missing_ok=True)
