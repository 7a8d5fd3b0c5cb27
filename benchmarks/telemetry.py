"""Measure the cost of the lab's telemetry for a server: round trips/s with it against without, in alternating pairs.

With two CPUs the server has one to itself and the load the other. On shared CPUs the kernel's choice of CPU changes a
run by 20 %, which hides the effect that is measured here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from typing_extensions import override

from benchmarks.contenders import host_model, server_config
from benchmarks.tools import Programs, alternating, median_interval
from coreserver.models import MODELS
from coreserver.records.server import ConnectionRecord, ServerOutcome
from coreserver.telemetry.recorder import Recorder

MODELS_MEASURED = ("thread_per_client", "event_loop", "asyncio")


class SilentRecorder(Recorder):
    """Recorder that takes no time stamps, counts nothing and keeps no records."""

    @override
    def accepted(self, peer: tuple[str, int]) -> ConnectionRecord:
        return ConnectionRecord(0, peer, 0)

    @override
    def started(self, record: ConnectionRecord, worker: str) -> None:
        pass

    @override
    def finished(self, record: ConnectionRecord, outcome: ServerOutcome) -> None:
        pass


@contextmanager
def run_server(model: str, telemetry: bool) -> Iterator[int]:
    """Run a server in threads of this process, with or without records and samples; yield its port."""
    if telemetry:
        with host_model(model) as (_, port):
            yield port
    else:
        silent = MODELS[model](server_config(model), SilentRecorder())
        address = silent.start()
        try:
            yield address.port
        finally:
            silent.stop()


def print_telemetry_cost(programs: Programs, pairs: int) -> None:
    """Print one row per model: the median ratio over alternating pairs, with its interval."""
    print("Telemetry on against off, 64 connections, 14-byte messages\n")
    print("| server | on / off | 95 % interval | pairs |\n|---|---:|---|---:|")
    for model in MODELS_MEASURED:
        on, off = (partial(round_trips_per_s, programs, model, telemetry) for telemetry in (True, False))
        median, low, high = median_interval(alternating(pairs, on, off))
        print(f"| {model} (thread) | {median:.3f} | {low:.3f} to {high:.3f} | {pairs} |")
    print()


def round_trips_per_s(programs: Programs, model: str, telemetry: bool) -> float:
    """Measure one run of a second."""
    return programs.load_on(run_server(model, telemetry), 64, 14, 1.0, apart=True).per_s
