"""Leak check: the threads, descriptors and children that a process holds before and after a test.

Listening sockets are descriptors like any other. A failure names them by address and state.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

# Worker threads of an event loop, which end with it or after ten idle seconds. A leaked loop is found by its own thread
# and its epoll descriptor.
LOOP_OWNED = ("AnyIO worker thread",)
PAUSE_S = 0.02


@dataclass(frozen=True)
class Holdings:
    """Resources that this process holds at one instant; children are direct ones, including unreaped ones."""

    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[int, str]]
    children: frozenset[psutil.Process]

    @classmethod
    def now(cls) -> Holdings:
        """Return what this process holds now."""
        threads = (thread for thread in threading.enumerate() if not thread.name.startswith(LOOP_OWNED))
        return cls(frozenset(threads), frozenset(_descriptors()), frozenset(_children()))

    def since(self, before: Holdings) -> Holdings:
        """Return what `self` holds and `before` does not."""
        return Holdings(
            self.threads - before.threads, self.descriptors - before.descriptors, self.children - before.children
        )

    def __bool__(self) -> bool:
        return bool(self.threads or self.descriptors or self.children)

    def __str__(self) -> str:
        lines = [f"child {_describe_child(child)}" for child in self.children]
        sockets = _sockets() if self.descriptors else {}
        lines += [f"descriptor {fd}: {target} {sockets.get(fd, '')}".rstrip() for fd, target in self.descriptors]
        frames = sys._current_frames()
        for thread in self.threads:
            stack = (
                traceback.format_stack(frames.get(thread.ident or 0)) if thread.ident in frames else ["  no stack\n"]
            )
            lines.append(f"thread {thread.name} (daemon: {thread.daemon})\n{''.join(stack)}".rstrip())
        return "\n".join(lines)


def wait_released(before: Holdings, deadline_s: float) -> Holdings:
    """Wait until nothing new is held since `before`, at most `deadline_s` seconds; return what is left."""
    deadline = time.monotonic() + deadline_s
    left = Holdings.now().since(before)
    if left:
        gc.collect()  # a socket in a reference cycle of an exception and its frames is garbage, not a leak
    while left and time.monotonic() < deadline:
        time.sleep(PAUSE_S)
        left = Holdings.now().since(before)
    return left


def _descriptors() -> Iterator[tuple[int, str]]:
    for name in os.listdir("/proc/self/fd"):
        try:
            yield int(name), os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # closed in the meantime, like the descriptor of the listing itself
            continue


def _children() -> Iterator[psutil.Process]:
    """Read the kernel's lists, one per thread: psutil would read every process of the machine, twice per test."""
    for thread in os.listdir("/proc/self/task"):
        with suppress(FileNotFoundError, psutil.NoSuchProcess):  # it has ended
            for pid in Path("/proc/self/task", thread, "children").read_text().split():
                yield psutil.Process(int(pid))


def _sockets() -> dict[int, str]:
    return {
        connection.fd: f"{connection.status} local {connection.laddr} remote {connection.raddr}"
        for connection in psutil.Process().net_connections("all")
    }


def _describe_child(child: psutil.Process) -> str:
    try:
        return f"{child.pid} ({child.status()}): {' '.join(child.cmdline())}"
    except psutil.NoSuchProcess:
        return f"{child.pid} (ended)"
