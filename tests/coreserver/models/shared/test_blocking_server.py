"""The threads of a server: none is joined before it has started."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from coreserver.models.shared.blocking_server import ThreadGroup
from tests.support.servers import wait_until


def test_join_waits_for_a_starting_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    begins, may_begin, ended = threading.Event(), threading.Event(), threading.Event()
    start = threading.Thread.start

    def start_late(thread: threading.Thread) -> None:
        if thread.name == "late":
            begins.set()
            may_begin.wait()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_late)
    group = ThreadGroup()
    with ThreadPoolExecutor(2) as others:
        starting = others.submit(group.start, "late", ended.set)
        assert begins.wait(20)
        joining = others.submit(group.join, 20.0)
        wait_until(lambda: joining.running() or joining.done(), "the other thread joins")
        may_begin.set()
        starting.result()
        assert joining.result()
    assert ended.is_set()
    assert group.alive() == 0
