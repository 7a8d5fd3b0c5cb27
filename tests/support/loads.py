"""Whole runs for tests: a load against a server, to the joined records."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from coreserver.clients.load import Progress
from coreserver.config.load import LoadConfig
from coreserver.hosting.host import ServerHost
from coreserver.records.run_result import RunResult
from coreserver.runs.execute import execute
from tests.support.peers import Address


def run(
    host: ServerHost | None,
    load: LoadConfig,
    tmp_path: Path,
    *,
    address: Address | None = None,
    cancel: threading.Event | None = None,
    on_progress: Callable[[Progress], object] = lambda _: None,
) -> RunResult:
    """Execute `load` against the host, or against an external server at `address`."""
    return execute(
        host,
        load,
        result_path=tmp_path / "result",
        cancel=cancel or threading.Event(),
        on_progress=on_progress,
        address=address,
    )
