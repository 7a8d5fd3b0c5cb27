"""What the lab's own telemetry costs a server: round trips/s with it, against without, in alternating pairs.

Where there are two CPUs the server has one to itself and the load the other: on shared ones the kernel's choice of CPU
moves a run by a fifth, which hides what is looked for here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.contenders import hosted, server_config
from benchmarks.tools import Programs, alternating, median_interval
from coreserver.models import MODELS
from coreserver.records.server import ConnectionRecord, ServerOutcome
from coreserver.telemetry.recorder import Recorder

MODELS_MEASURED = ("thread_per_client", "event_loop", "asyncio")


class SilentRecorder(Recorder):
    """Stamps, counts and keeps nothing."""

    def accepted(self, peer: tuple[str, int]) -> ConnectionRecord:
        """A record that nobody keeps."""
        return ConnectionRecord(0, peer, 0)

    def started(self, record: ConnectionRecord, worker: str) -> None:
        """Nothing."""

    def finished(self, record: ConnectionRecord, outcome: ServerOutcome) -> None:
        """Nothing."""


@contextmanager
def serving(model: str, telemetry: bool) -> Iterator[int]:
    """The port of a server in threads of this process, with records and samples or without either."""
    if telemetry:
        with hosted(model) as (_, port):
            yield port
    else:
        silent = MODELS[model](server_config(model), SilentRecorder())
        address = silent.start()
        try:
            yield address.port
        finally:
            silent.stop()


def print_telemetry_cost(programs: Programs, pairs: int) -> None:
    """A row a model: the median ratio over alternating pairs, with its interval."""
    print("Telemetry on against off, 64 connections, 14-byte messages\n")
    print("| server | on / off | 95 % interval | pairs |\n|---|---:|---|---:|")
    for model in MODELS_MEASURED:
        on, off = (partial(round_trips_per_s, programs, model, telemetry) for telemetry in (True, False))
        median, low, high = median_interval(alternating(pairs, on, off))
        print(f"| {model} (thread) | {median:.3f} | {low:.3f} to {high:.3f} | {pairs} |")
    print()


def round_trips_per_s(programs: Programs, model: str, telemetry: bool) -> float:
    """Of one run of a second."""
    return programs.load_on(serving(model, telemetry), 64, 14, 1.0, apart=True).per_s
