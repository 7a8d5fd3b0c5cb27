"""The leak check finds what tests leave behind."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

from tests.support.leaks import Holdings, wait_released


def test_closed_socket_is_no_leak() -> None:
    before = Holdings.now()
    with socket.create_server(("127.0.0.1", 0)):
        pass
    assert not wait_released(before, deadline_s=0)


def test_listener_is_named_by_address() -> None:
    before = Holdings.now()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        left = wait_released(before, deadline_s=0)
        assert [fd for fd, _ in left.descriptors] == [listener.fileno()]
        assert "LISTEN" in str(left)
        assert str(listener.getsockname()[1]) in str(left)


def test_thread_is_shown_with_stack() -> None:
    before = Holdings.now()
    release = threading.Event()
    thread = threading.Thread(target=lambda: wait_for_release(release), name="forgotten")
    thread.start()
    text = str(Holdings.now().since(before))
    release.set()
    thread.join()
    assert "thread forgotten" in text
    assert "wait_for_release" in text


def wait_for_release(release: threading.Event) -> None:
    release.wait()


def test_child_counts_until_reaped() -> None:
    before = Holdings.now()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert "input()" in str(Holdings.now().since(before))
    finally:
        child.communicate(b"\n")
    assert not wait_released(before, deadline_s=0)


def test_wait_ends_when_all_is_released() -> None:
    before = Holdings.now()
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    threading.Timer(0.1, release.set).start()
    assert not wait_released(before, deadline_s=30)
