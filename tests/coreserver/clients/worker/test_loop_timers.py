"""Loop timers: never early, in order, and without blocking the other work of the loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from coreserver.clients.worker.epoll import READ, Poller
from coreserver.clients.worker.loop_timers import FAR_BEHIND_NS, LoopTimers
from coreserver.clock import NS_PER_MS, NS_PER_S, now_ns
from coreserver.timerfd import MAX_BATCH

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run(loop: LoopFactory, story: Callable[[LoopTimers, asyncio.Event], object]) -> None:
    """Run `story`, which sets the event at its end."""

    async def body() -> None:
        timers, over = LoopTimers(asyncio.get_running_loop()), asyncio.Event()
        story(timers, over)
        await asyncio.wait_for(over.wait(), 10)
        timers.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(body())


def test_callbacks_run_in_order_and_not_early(loop: LoopFactory) -> None:
    came: list[tuple[int, int]] = []
    due: list[int] = []

    def story(timers: LoopTimers, over: asyncio.Event) -> None:
        start = now_ns()
        due.extend(start + round(offset_ms * NS_PER_MS) for offset_ms in (30, 10.3, 10.4, 0, -5, 10.3))
        for number, due_ns in enumerate(due):
            timers.at(due_ns, lambda number=number: came.append((number, now_ns())))  # type: ignore[misc]
        timers.at(start + 40 * NS_PER_MS, over.set)

    run(loop, story)
    assert [number for number, _ in came] == [4, 3, 1, 5, 2, 0]
    assert all(at_ns >= due[number] for number, at_ns in came)


def test_many_callbacks_do_not_block_the_loop(
    loop: LoopFactory,
) -> None:
    events: list[str] = []

    def story(timers: LoopTimers, over: asyncio.Event) -> None:
        def first() -> None:
            timers.loop.call_soon(events.append, "other work")

        timers.at(0, first)
        for _ in range(2 * MAX_BATCH):
            timers.at(1, lambda: events.append("timer"))
        timers.at(2, over.set)

    run(loop, story)
    assert events.index("other work") == MAX_BATCH - 1


def test_callback_may_add_a_callback(loop: LoopFactory) -> None:
    left = [5]

    def story(timers: LoopTimers, over: asyncio.Event) -> None:
        def again() -> None:
            left[0] -= 1
            if left[0]:
                timers.at(now_ns() + NS_PER_MS, again)
            else:
                over.set()

        again()

    run(loop, story)
    assert left == [0]


def test_due_callbacks_precede_ready_sockets(loop: LoopFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "coreserver.clients.worker.loop_timers.FAR_BEHIND_NS", 10 * NS_PER_S
    )  # also on a machine that stalls
    order: list[str] = []
    pairs = [socket.socketpair() for _ in range(8)]

    def story(timers: LoopTimers, over: asyncio.Event) -> None:
        poller = Poller(timers.loop, timers.catch_up)

        def attend(sock: socket.socket) -> None:
            sock.recv(1)
            order.append("socket")
            while now_ns() < due_ns:
                """Wait until the callback is due."""
            if order.count("socket") == len(pairs):
                poller.close()
                over.set()

        for one, other in pairs:
            other.send(b"x")
            poller.watch(one.fileno(), READ, lambda _, one=one: attend(one))  # type: ignore[misc]
        due_ns = now_ns() + 20 * NS_PER_MS
        timers.at(due_ns, lambda: order.append("due"))

    run(loop, story)
    for one, other in pairs:
        one.close()
        other.close()
    assert order.index("due") == 1


def test_late_process_still_reads_replies(loop: LoopFactory) -> None:
    def story(timers: LoopTimers, over: asyncio.Event) -> None:
        called: list[str] = []
        assert not timers.catch_up()
        timers.at(now_ns() - 1, lambda: called.append("just due"))
        assert timers.catch_up()
        timers.at(now_ns() - FAR_BEHIND_NS, over.set)
        assert not timers.catch_up()
        assert called == ["just due"]
        assert not over.is_set()

    run(loop, story)
