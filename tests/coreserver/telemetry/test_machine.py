"""CPU time of the machine and the share of this process."""

from __future__ import annotations

import subprocess
import sys
import time
from unittest.mock import mock_open, patch

from coreserver.telemetry.machine import MachineWatch

BURN_S = 0.3
BURN = f"import time\nwhile time.process_time() < {BURN_S}: pass"


def test_own_work_counts_as_busy_and_own() -> None:
    watch = MachineWatch()
    end = time.process_time() + BURN_S
    while time.process_time() < end:
        pass
    use = watch.so_far()
    assert use is not None
    assert use.own_s >= BURN_S
    assert use.busy_s >= BURN_S - 0.05  # counted in steps of 10 ms
    assert use.elapsed_s >= BURN_S
    assert use.cores >= 1


def test_ended_child_counts_as_own() -> None:
    watch = MachineWatch()
    subprocess.run([sys.executable, "-c", BURN], check=True)
    use = watch.so_far()
    assert use is not None
    assert use.own_s >= BURN_S


def test_running_child_is_not_own() -> None:
    watch = MachineWatch()
    with subprocess.Popen([sys.executable, "-c", f"{BURN}\nprint(flush=True)\ninput()"], stdin=-1, stdout=-1) as child:
        assert child.stdout is not None
        child.stdout.readline()
        use = watch.so_far()
        child.communicate(b"\n", timeout=30)
    assert use is not None
    assert use.busy_s - use.own_s >= BURN_S - 0.1


def test_unreadable_kernel_files_give_none() -> None:
    with patch("builtins.open", side_effect=FileNotFoundError):
        watch = MachineWatch()
    assert watch.so_far() is None


def test_columns_are_those_of_proc_stat() -> None:
    with patch("builtins.open", mock_open(read_data="cpu  100 20 300 9000 50 7 8 40 5 6\n")):
        watch = MachineWatch()
    with patch("builtins.open", mock_open(read_data="cpu  200 30 500 9900 60 99 99 90 9 9\n")):
        use = watch.so_far()
    assert use is not None
    assert (round(use.busy_s, 6), round(use.steal_s, 6)) == (3.1, 0.5)  # ticks of 10 ms
