"""Reports of made-up runs of any size, for the tests of charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from coreserver.records.client import ClientOutcome, ClientRecord, MessageRecord
from coreserver.records.joined import JoinedConnection
from coreserver.records.server import ConnectionRecord, ServerOutcome
from coreserver.reports.build import RunInfo, ServerInfo, build_report
from coreserver.reports.schema.report import Report
from tests.support.made_records import CLIENT_ADDRESS, ENVIRONMENT, MOMENT, at, result, run_config, sample


def report_of(
    connections: Sequence[JoinedConnection],
    *,
    ended_ms: float = 3000,
    groups: Sequence[str] = ("visitors",),
    **more: Any,
) -> Report:
    """Return the report that `build_report` makes of these connections."""
    config = run_config([{"name": name, "kind": "script"} for name in groups])
    info = RunInfo(7, "made up", "", 0, config, MOMENT, None, None, "completed")
    return build_report(info, result(connections, ended=ended_ms, **more), ServerInfo("bounded_pool", {}), ENVIRONMENT)


def visitors(count: int, *, group: str = "visitors", every_ms: float = 1.0, seed: int = 1) -> list[JoinedConnection]:
    """Return `count` connections of one message each; their response times are lognormal, some of them seconds long."""
    spans = np.random.default_rng(seed).lognormal(mean=1.0, sigma=1.0, size=count)
    return [_visitor(k, group, k * every_ms, float(span)) for k, span in enumerate(spans)]


def _visitor(number: int, group: str, due: float, took: float) -> JoinedConnection:
    started, replied = due + 0.4 + took / 2, due + 1.0 + took
    client = ClientRecord(
        f"{group}{number}", group, at(due), at(due + 0.1), at(due + 0.2), at(started + 0.1), at(replied + 0.1),
        ClientOutcome.COMPLETED, local=CLIENT_ADDRESS,
        messages=[MessageRecord(at(due), at(started + 0.2), at(replied))],
    )  # fmt: skip
    server = ConnectionRecord(
        number, CLIENT_ADDRESS, at(due + 0.3), at(started), at(replied + 0.2), "worker-1", ServerOutcome.COMPLETED
    )
    return JoinedConnection(client, server)


def samples(count: int) -> list[Any]:
    """Return samples of the server, ten per second."""
    return [sample(100 * k, cpu_s=0.05 * k, threads=3 + k % 4, queue=k % 7) for k in range(count)]
