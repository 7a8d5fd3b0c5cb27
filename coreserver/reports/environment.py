"""The machine and the software of a run, as far as they influence its figures."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from coreserver.reports.schema.report import Environment, Limit, Limits

# Packages that serve, make load or compute; the others do not influence a figure.
PACKAGES = ("serverlab", "fastapi", "starlette", "uvicorn", "uvloop", "pydantic", "numpy", "hdrhistogram")


def describe_machine() -> Environment:
    """Return CPU, memory, kernel, Python, limits and versions of this machine now; None where it is not known."""
    return Environment(
        cpu=_cpu_model(),
        cores=os.cpu_count(),
        cores_usable=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        load_average_1min=os.getloadavg()[0],
        system=platform.system(),
        kernel=platform.release(),
        python=platform.python_version(),
        python_implementation=platform.python_implementation(),
        python_build=" ".join(platform.python_build()),
        python_compiler=platform.python_compiler(),
        gil=_has_gil(),
        switch_interval_s=sys.getswitchinterval(),
        limits=Limits(
            open_files=_limit(resource.RLIMIT_NOFILE),
            processes_and_threads=_limit(resource.RLIMIT_NPROC),
        ),
        somaxconn=_first_int("/proc/sys/net/core/somaxconn"),
        tcp_max_syn_backlog=_first_int("/proc/sys/net/ipv4/tcp_max_syn_backlog"),
        port_range=_ints("/proc/sys/net/ipv4/ip_local_port_range"),
        versions={name: _version(name) for name in PACKAGES},
    )


def _cpu_model() -> str | None:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        label, _, value = line.partition(":")
        if label.strip() == "model name":
            return value.strip()
    return platform.processor() or None


def _has_gil() -> bool:
    """Whether this interpreter has a global lock; only 3.13 and later can run without one."""
    enabled = getattr(sys, "_is_gil_enabled", None)
    return True if enabled is None else bool(enabled())


def _limit(which: int) -> Limit:
    soft, hard = (None if value == resource.RLIM_INFINITY else value for value in resource.getrlimit(which))
    return Limit(soft=soft, hard=hard)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except OSError:
        return None


def _ints(path: str) -> list[int] | None:
    text = _read(path)
    return None if text is None else [int(word) for word in text.split()]


def _first_int(path: str) -> int | None:
    numbers = _ints(path)
    return numbers[0] if numbers else None
