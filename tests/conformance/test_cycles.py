"""Many cycles of start, serve and stop on one port leave nothing behind. `benchmarks/cycles.py` runs a thousand."""

from __future__ import annotations

import pytest

from benchmarks.cycles import STOP_LIMIT_S, run_cycles


@pytest.mark.every_case
def test_cycles_leave_nothing_behind(case: tuple[str, str]) -> None:
    model, placement = case
    done = run_cycles(model, placement, 20 if placement == "thread" else 2)
    assert done.is_clean(), done
    if placement == "thread":  # a process takes as long to end as the machine takes to schedule it
        assert done.median_stop_s < STOP_LIMIT_S
