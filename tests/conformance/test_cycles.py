"""Start, serve, stop, many times on one port: nothing accumulates. `benchmarks/cycles.py` runs a thousand."""

from __future__ import annotations

import pytest

from benchmarks.cycles import STOP_LIMIT_S, run_cycles


@pytest.mark.every_case
def test_cycles_leave_nothing_behind(case: tuple[str, str]) -> None:
    model, placement = case
    done = run_cycles(model, placement, 20 if placement == "thread" else 2)
    assert done.is_clean(), done
    # A process has to be scheduled to end; beside other tests that takes as long as it takes.
    assert done.slowest_stop_s < (STOP_LIMIT_S if placement == "thread" else 4 * STOP_LIMIT_S)
