"""Pictures that were drawn once, on disk, up to so many bytes: those unused for longest go first."""

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


def key_of(request: Mapping[str, Any]) -> str:
    """A name that another request, or another version of the converter, would not have."""
    said = json.dumps([CONVERTER, request], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(said.encode()).hexdigest()


class FileCache:
    """A folder of files by key. A disk that is full or failing makes it forget, and nothing worse."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder, self._limit_bytes = folder, limit_bytes

    def get(self, key: str) -> bytes | None:
        """What was kept under this key; None of what was not, or has been dropped."""
        path = self._folder / key
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keep `data`; readers, in other processes too, see all of it or nothing."""
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
            if total > self._limit_bytes:
                path.unlink(missing_ok=True)
